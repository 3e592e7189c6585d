/* replay: feeds every file of the named folders (or the named files) to a fuzz target, without a fuzzer, and
 * says how many there were. None at all is a failure: a corpus that went missing must not pass. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/mem.h"
#include "base/str.h"
#include "fuzz.h"

static bool feed_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    AUTOSTR struct str s = STR_INIT;
    char block[4096];
    if (!f) {
        perror(path);
        return false;
    }
    for (size_t n; (n = fread(block, 1, sizeof block, f)) > 0;)
        str_add(&s, block, n);
    fclose(f);
    /* A block of exactly the input's size: the sanitizer sees one byte too far. */
    AUTOFREE uint8_t *exact = malloc(s.n ? s.n : 1);
    memcpy(exact, str_get(&s), s.n);
    LLVMFuzzerTestOneInput(exact, s.n);
    return true;
}

static bool feed(const char *path, size_t *count)
{
    struct stat st;
    if (stat(path, &st) < 0) {
        perror(path);
        return false;
    }
    if (!S_ISDIR(st.st_mode)) {
        ++*count;
        return feed_file(path);
    }
    struct dirent **list;
    bool good = true;
    int n = scandir(path, &list, NULL, alphasort);
    for (int i = 0; i < n; i++) {
        if (list[i]->d_name[0] != '.') {
            AUTOFREE char *inside = mem_printf("%s/%s", path, list[i]->d_name);
            good = feed(inside, count) && good;
        }
        free(list[i]);
    }
    if (n >= 0)
        free(list);
    return good && n >= 0;
}

int main(int argc, char **argv)
{
    size_t count = 0;
    bool good = true;
    for (int i = 1; i < argc; i++)
        good = feed(argv[i], &count) && good;
    printf("%zu inputs replayed\n", count);
    return good && count > 0 ? 0 : 1;
}
