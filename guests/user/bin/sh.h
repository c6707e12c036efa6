/* The shell: sh.c reads lines, sh_parse.c turns one into a tree, sh_run.c runs that, sh_expand.c makes fields of words. */
#pragma once
#include "applets.h"

struct word {
	struct word *next;
	char *text; /* as written, quotes and dollars included */
};

struct redirect {
	struct redirect *next;
	int fd, flags; /* flags for open, or -1: text is the descriptor to copy */
	char *text;
};

enum node_kind { COMMAND, SUBSHELL, PIPE, AND, OR, NOT, SEQUENCE, BACKGROUND };

struct node {
	enum node_kind kind;
	struct node *left, *right;
	struct word *words;
	struct redirect *redirects;
};

/* sh_parse.c */
/* The line as a tree; NULL: empty, or wrong if *error says so. */
struct node *parse(const char *line, const char **error);

/* sh_expand.c */
extern int last_status, last_background, shell_pid; /* $? $! $$ */
/* Fields that the words become, NULL-terminated; their number in *count. */
char **expand_all(const struct word *words, int *count);
char *expand_one(const char *text); /* without splitting: for redirections and assignments */
const char *variable(const char *name, size_t length); /* NULL: not set */
void set_variable(const char *name, size_t length, const char *value);

/* sh_run.c */
int run(const struct node *n); /* $? */

/* sh_builtin.c */
typedef int builtin(int argc, char **argv);
builtin *find_builtin(const char *name); /* NULL: it is none */
int apply(const struct redirect *r);  /* not 0: it could not be */
int run_builtin(builtin *f, int argc, char **argv, const struct redirect *r);

/* sh_process.c */
extern int interactive, own_group;
int start_child(int group, int foreground); /* fork, with all that job control wants; group 0: one of its own */
int wait_for(int pid);                      /* its status, as $? has it */
int exit_status(int status);                /* of what wait4 says; how it died is told */
void give_terminal(int group);
void execute(char **argv, int argc) __attribute__((noreturn));

/* sh.c: memory that lasts until the line has been run */
void *line_alloc(size_t n);
