#include "real/reserve.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/mem.h"

struct reserve {
    char *room, *note_path;
    struct disk_note *note; /* mapped; NULL: none */
};

/* posix_fallocate takes the blocks, so that nobody else can. */
static int reserve_hold(void *self, bool hold)
{
    struct reserve *r = self;
    if (!hold)
        return unlink(r->room) == 0 || errno == ENOENT ? 0 : errno;
    int fd = open(r->room, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return errno;
    int error = posix_fallocate(fd, 0, RESERVE_BYTES);
    close(fd);
    if (error)
        unlink(r->room);
    return error;
}

static struct disk_note *note_map(const char *path)
{
    int fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0)
        return NULL;
    void *p = MAP_FAILED;
    if (posix_fallocate(fd, 0, sizeof(struct disk_note)) == 0) /* or a full disk would be a SIGBUS */
        p = mmap(NULL, sizeof(struct disk_note), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    return p == MAP_FAILED ? NULL : p;
}

struct reserve *reserve_new(const char *folder)
{
    struct reserve *r = mem_alloc(sizeof *r);
    r->room = mem_printf("%s/reserve", folder);
    r->note_path = mem_printf("%s/applying", folder);
    r->note = note_map(r->note_path);
    return r;
}

void reserve_free(struct reserve *r)
{
    if (!r)
        return;
    if (r->note)
        munmap(r->note, sizeof *r->note);
    free(r->room);
    free(r->note_path);
    free(r);
}

void reserve_world(struct reserve *r, struct world_disk *ret)
{
    ret->self = r;
    ret->reserve = reserve_hold;
    ret->note = r->note;
}
