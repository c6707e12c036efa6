/*
 *   line     := and_or ((';' | '&') and_or)*
 *   and_or   := pipeline (('&&' | '||') pipeline)*
 *   pipeline := ['!'] command ('|' command)*
 *   command  := (word | redirect)+  |  '(' line ')' redirect*
 */
#include "sh.h"

static const char *at, *wrong;

static void blanks(void)
{
	while (*at == ' ' || *at == '\t' || *at == '\r')
		at++;
	if (*at == '#')
		while (*at && *at != '\n')
			at++;
}

static int take(const char *token)
{
	size_t n = strlen(token);
	blanks();
	if (strncmp(at, token, n))
		return 0;
	/* '|' is not the start of '||', nor '&' of '&&'. */
	if (n == 1 && (*token == '|' || *token == '&') && at[1] == *token)
		return 0;
	at += n;
	return 1;
}

static struct node *node(enum node_kind kind, struct node *left, struct node *right)
{
	struct node *n = line_alloc(sizeof *n);
	n->kind = kind;
	n->left = left;
	n->right = right;
	n->words = NULL;
	n->redirects = NULL;
	return n;
}

static char *word(void)
{
	const char *start = at;
	char quote = 0;
	blanks();
	start = at;
	for (; *at && (quote || !strchr(" \t\r\n;&|<>()", *at)); at++) {
		if (*at == '\\' && quote != '\'' && at[1])
			at++;
		else if (quote ? *at == quote : *at == '\'' || *at == '"')
			quote = quote ? 0 : *at;
	}
	if (quote)
		wrong = "a quote is not closed";
	if (at == start)
		return NULL;
	char *text = line_alloc(at - start + 1);
	memcpy(text, start, at - start);
	text[at - start] = 0;
	return text;
}

/* "2>" is one token, "2 >" is a word and a token: the digit must touch. */
static struct redirect *redirect(void)
{
	blanks();
	const char *start = at;
	int fd = -1;
	if (*at >= '0' && *at <= '9' && (at[1] == '<' || at[1] == '>'))
		fd = *at++ - '0';
	int flags;
	if (take(">>"))
		flags = O_WRONLY | O_CREAT | O_APPEND;
	else if (take(">&") || take("<&"))
		flags = -1;
	else if (take(">"))
		flags = O_WRONLY | O_CREAT | O_TRUNC;
	else if (take("<"))
		flags = O_RDONLY;
	else {
		at = start;
		return NULL;
	}
	struct redirect *r = line_alloc(sizeof *r);
	r->next = NULL;
	r->fd = fd >= 0 ? fd : flags != O_RDONLY;
	r->flags = flags;
	r->text = word();
	if (!r->text)
		wrong = "a redirection names no file";
	return r;
}

static struct node *line(void);

static struct node *command(void)
{
	struct node *n = node(COMMAND, NULL, NULL);
	struct word **words = &n->words;
	struct redirect **redirects = &n->redirects;
	if (take("(")) {
		n->kind = SUBSHELL;
		n->left = line();
		if (!n->left || !take(")"))
			wrong = "a parenthesis is not closed";
	}
	while (!wrong) {
		struct redirect *r = redirect();
		if (r) {
			*redirects = r;
			redirects = &r->next;
			continue;
		}
		char *text = n->kind == COMMAND ? word() : NULL;
		if (!text)
			break;
		*words = line_alloc(sizeof **words);
		(*words)->text = text;
		(*words)->next = NULL;
		words = &(*words)->next;
	}
	if (n->kind == COMMAND && !n->words && !n->redirects)
		return NULL;
	return n;
}

static struct node *needed(struct node *n)
{
	if (!n && !wrong)
		wrong = "a command is missing";
	return n;
}

static struct node *pipeline(void)
{
	int negated = take("!");
	struct node *n = command();
	while (n && !wrong && take("|"))
		n = node(PIPE, n, needed(command()));
	return negated ? node(NOT, needed(n), NULL) : n;
}

static struct node *and_or(void)
{
	struct node *n = pipeline();
	while (n && !wrong) {
		if (take("&&"))
			n = node(AND, n, needed(pipeline()));
		else if (take("||"))
			n = node(OR, n, needed(pipeline()));
		else
			break;
	}
	return n;
}

static struct node *line(void)
{
	struct node *all = NULL;
	while (!wrong) {
		struct node *n = and_or();
		if (!n)
			break;
		int background = take("&");
		if (background)
			n = node(BACKGROUND, n, NULL);
		all = all ? node(SEQUENCE, all, n) : n;
		if (!background && !take(";") && !take("\n"))
			break;
	}
	return all;
}

struct node *parse(const char *text, const char **error)
{
	static char message[40];
	at = text;
	wrong = NULL;
	struct node *n = line();
	while (!wrong && take("\n"))
		;
	blanks();
	if (!wrong && *at) {
		snprintf(message, sizeof message, "'%c' is unexpected", *at);
		wrong = message;
	}
	*error = wrong;
	return wrong ? NULL : n;
}
