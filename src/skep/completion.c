/* skep completion: a bash script made of the verb table. Names of nodes, children, … are asked of the cluster
 * when Tab is pressed, quietly.
 *
 * The script keeps one line a verb: its options, its sub-verbs, and what its words are; one shell function
 * does the rest. Words of the cluster are offered as they are if they need no quoting.
 */
#include <string.h>

#include "skep/cli.h"
#include "skep/options.h"

static const char *const kinds[] = {
    [COMPLETE_NOTHING] = "none",    [COMPLETE_FILE] = "file",       [COMPLETE_FOLDER] = "folder",
    [COMPLETE_COMMAND] = "command", [COMPLETE_NODE] = "node",       [COMPLETE_CHILD] = "child",
    [COMPLETE_NAME] = "name",       [COMPLETE_SESSION] = "session", [COMPLETE_TEMPLATE] = "template",
    [COMPLETE_VERB] = "verb",
};

static void put_names(struct str *s, const struct verb_option *o)
{
    for (; o && o->name; o++) {
        if (o->letter)
            str_printf(s, "-%c ", o->letter);
        str_printf(s, "--%s ", o->name);
    }
}

/* A case "start/--restart" for every option that takes a value; returns through _skep_kind. */
static void put_values(struct str *s, const char *key, const struct verb_option *o)
{
    for (; o && o->name; o++) {
        if (o->kind == OPT_FLAG)
            continue;
        str_printf(s, "    %s'/--%s'", key, o->name);
        if (o->letter)
            str_printf(s, "|%s'/-%c'", key, o->letter);
        if (o->words)
            str_printf(s, ") _skep_kind=words _skep_words='%s' ;;\n", o->words);
        else
            str_printf(s, ") _skep_kind='%s' ;;\n", kinds[o->complete]);
    }
}

static void put_verb(struct str *options, struct str *values, const char *key, const struct verb *v)
{
    str_printf(options, "    '%s') _skep_options='", key);
    put_names(options, v->options);
    str_puts(options, "' _skep_subs='");
    for (const struct verb *const *sub = v->subs; sub && *sub; sub++)
        str_printf(options, "%s ", (*sub)->name);
    str_printf(options, "' _skep_kind='%s' ;;\n", v->subs ? "sub" : kinds[v->complete]);
    put_values(values, key, v->options);
}

static const char tail[] =
    "# Names that the cluster knows, asked where this line would ask; silence where nobody answers.\n"
    "_skep_ask() {\n"
    "  local where=() i word\n"
    "  for ((i = 1; i + 1 < COMP_CWORD; i++)); do\n"
    "    word=${COMP_WORDS[i]}\n"
    "    case $word in\n"
    "    --addr|-a|--token|--token-file|--cacert|--client-cert|--client-key|--config)\n"
    "      where+=(\"$word\" \"${COMP_WORDS[i+1]}\") ;;\n"
    "    --swarm|-s)\n"
    "      if [[ $1 == ps || $1 == name ]]; then where+=(\"$word\" \"${COMP_WORDS[i+1]}\"); fi ;;\n"
    "    esac\n"
    "  done\n"
    "  command \"$_skep_program\" \"$@\" -q --timeout-ms 1000 \"${where[@]}\" 2>/dev/null |\n"
    "    grep -E '^[A-Za-z0-9._@%+/-]+$'\n"
    "}\n"
    "\n"
    "_skep() {\n"
    "  local cur=${COMP_WORDS[COMP_CWORD]} prev=${COMP_WORDS[COMP_CWORD-1]} verb='' i word skip=''\n"
    "  local _skep_options='' _skep_subs=$_skep_verbs _skep_kind=sub _skep_words='' "
    "_skep_program=${COMP_WORDS[0]}\n"
    "  for ((i = 1; i < COMP_CWORD; i++)); do\n"
    "    word=${COMP_WORDS[i]}\n"
    "    if [[ $skip ]]; then skip=''; continue; fi\n"
    "    if [[ $word == -- ]]; then\n"
    "      _skep_kind='command'\n"
    "      ((i + 1 == COMP_CWORD)) || _skep_kind='file'\n"
    "      verb='' _skep_options='' _skep_subs='' prev=--\n"
    "      break\n"
    "    elif [[ $word == -* ]]; then\n"
    "      local kind=$_skep_kind words=$_skep_words\n"
    "      if _skep_value \"$verb/$word\"; then skip=1; fi\n"
    "      _skep_kind=$kind _skep_words=$words\n"
    "    elif [[ $_skep_kind == sub && \" $_skep_subs \" == *\" $word \"* ]]; then\n"
    "      verb=${verb:+$verb/}$word\n"
    "      _skep_verb \"$verb\"\n"
    "    fi\n"
    "  done\n"
    "  if [[ $prev == -* && $prev != -- ]]; then _skep_value \"$verb/$prev\" || :; fi\n"
    "  if [[ $cur == -* && $_skep_kind != words ]]; then\n"
    "    mapfile -t COMPREPLY < <(compgen -W \"$_skep_options $_skep_common\" -- \"$cur\")\n"
    "    return\n"
    "  fi\n"
    "  case $_skep_kind in\n"
    "  sub) mapfile -t COMPREPLY < <(compgen -W \"$_skep_subs\" -- \"$cur\") ;;\n"
    "  verb) mapfile -t COMPREPLY < <(compgen -W \"$_skep_verbs\" -- \"$cur\") ;;\n"
    "  words) mapfile -t COMPREPLY < <(compgen -W \"$_skep_words\" -- \"$cur\") ;;\n"
    "  file) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -f -- \"$cur\") ;;\n"
    "  folder) compopt -o filenames; mapfile -t COMPREPLY < <(compgen -d -- \"$cur\") ;;\n"
    "  command) mapfile -t COMPREPLY < <(compgen -c -- \"$cur\") ;;\n"
    "  node) mapfile -t COMPREPLY < <(_skep_ask nodes) ;;\n"
    "  child) mapfile -t COMPREPLY < <(_skep_ask ps) ;;\n"
    "  name|session|template) mapfile -t COMPREPLY < <(_skep_ask \"$_skep_kind\" ls) ;;\n"
    "  esac\n"
    "  case $_skep_kind in\n"
    "  node|child|name|session|template)\n"
    "    local found=()\n"
    "    for word in \"${COMPREPLY[@]}\"; do\n"
    "      if [[ $word == \"$cur\"* ]]; then found+=(\"$word\"); fi\n"
    "    done\n"
    "    COMPREPLY=(\"${found[@]}\") ;;\n"
    "  esac\n"
    "}\n"
    "\n"
    "complete -F _skep skep\n";

static int run_bash(struct cli *c, struct err *e)
{
    (void)c, (void)e;
    struct str options AUTOSTR = STR_INIT, values AUTOSTR = STR_INIT, names AUTOSTR = STR_INIT,
                       common AUTOSTR = STR_INIT;
    for (const struct verb *const *v = verbs; *v; v++) {
        str_printf(&names, "%s ", (*v)->name);
        put_verb(&options, &values, (*v)->name, *v);
        for (const struct verb *const *sub = (*v)->subs; sub && *sub; sub++) {
            char *key AUTOFREE = mem_printf("%s/%s", (*v)->name, (*sub)->name);
            put_verb(&options, &values, key, *sub);
        }
    }
    put_names(&common, options_common);
    put_values(&values, "*", options_common);
    put_line("# bash completion of skep %s, made by \"skep completion bash\".\n", SKEP_VERSION);
    put_line("_skep_verbs='%s'", str_get(&names));
    put_line("_skep_common='%s'\n", str_get(&common));
    put_line("# What a verb takes.\n_skep_verb() {\n  case $1 in\n%s    esac\n}\n", str_get(&options));
    put_line("# What an option takes; fails for one that takes nothing.\n_skep_value() {\n  local key=$1\n  "
             "case $key in\n%s",
             str_get(&values));
    put_line("    *) return 1 ;;\n  esac\n}\n");
    put_text(tail);
    return 0;
}

static const struct verb bash_verb = {
    .name = "bash",
    .args = "",
    .help = "For bash: source <(skep completion bash)",
    .run = run_bash,
};
static const struct verb *const subs[] = {&bash_verb, NULL};

const struct verb verb_completion = {
    .name = "completion",
    .help = "Print a completion script for a shell.",
    .subs = subs,
};
