/* The shell: sh_parse.c turns a line into a tree, sh_expand.c a word into fields, sh.c runs the tree. */
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

/* sh.c: memory that lasts until the line has been run */
void *line_alloc(size_t n);
