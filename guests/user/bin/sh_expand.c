/* Words to fields: quotes, backslashes, $NAME ${NAME} $? $$ $!. Every variable is exported: they live in environ. */
#include "sh.h"

int last_status, last_background, shell_pid;

static char **find(const char *name, size_t length)
{
	for (char **e = environ; *e; e++)
		if (!strncmp(*e, name, length) && (*e)[length] == '=')
			return e;
	return NULL;
}

const char *variable(const char *name, size_t length)
{
	char **e = find(name, length);
	return e ? *e + length + 1 : NULL;
}

void set_variable(const char *name, size_t length, const char *value)
{
	static char **owned;
	size_t bytes = length + 1 + strlen(value) + 1;
	char *entry = malloc(bytes), **e = find(name, length);
	memcpy(entry, name, length);
	entry[length] = '=';
	strcpy(entry + length + 1, value);
	if (!e) {
		size_t n = 0;
		while (environ[n])
			n++;
		char **bigger = malloc((n + 2) * sizeof *bigger);
		memcpy(bigger, environ, n * sizeof *bigger);
		bigger[n + 1] = NULL;
		free(owned);
		environ = owned = bigger;
		e = bigger + n;
	}
	*e = entry; /* the old text may be the kernel's, on our stack: never freed */
}

/* The fields made so far, and the one that is being made. */
struct fields {
	char **list;
	int count, room;
	char *text;
	size_t used, size;
	int open; /* there is a field, though it may still be empty */
};

static void add(struct fields *f, char c)
{
	if (f->used + 1 >= f->size) {
		char *bigger = line_alloc(f->size = f->size * 2 + 32);
		if (f->used)
			memcpy(bigger, f->text, f->used);
		f->text = bigger;
	}
	f->text[f->used++] = c;
	f->open = 1;
}

static void end_field(struct fields *f)
{
	if (!f->open)
		return;
	if (f->count + 1 >= f->room) {
		char **bigger = line_alloc((f->room = f->room * 2 + 8) * sizeof *bigger);
		if (f->count)
			memcpy(bigger, f->list, f->count * sizeof *bigger);
		f->list = bigger;
	}
	add(f, 0);
	f->list[f->count++] = f->text;
	f->text = NULL;
	f->used = f->size = f->open = 0;
}

static int name_char(char c, int first)
{
	return c == '_' || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (!first && c >= '0' && c <= '9');
}

/* What stands after the dollar at s[-1]; moves *s past it. */
static const char *value(const char **s)
{
	static char digits[16];
	const char *p = *s, *start, *v;
	if (*p == '?' || *p == '$' || *p == '!') {
		*s = p + 1;
		snprintf(digits, sizeof digits, "%d", *p == '?' ? last_status : *p == '$' ? shell_pid : last_background);
		return digits;
	}
	int brace = *p == '{';
	p += brace;
	for (start = p; name_char(*p, p == start); p++)
		;
	if (p == start || (brace && *p != '}'))
		return "$"; /* an ordinary dollar */
	v = variable(start, p - start);
	*s = p + brace;
	return v ? v : "";
}

static void expand(struct fields *f, const char *s, int split)
{
	char quote = 0;
	while (*s) {
		char c = *s++;
		if (quote != '\'' && c == '\\' && *s) {
			if (quote == '"' && !strchr("\"\\$", *s))
				add(f, c);
			add(f, *s++);
		} else if (quote ? c == quote : c == '\'' || c == '"') {
			quote = quote ? 0 : c;
			f->open = 1; /* "" is a field too */
		} else if (c == '$' && quote != '\'') {
			for (const char *v = value(&s); *v; v++)
				if (split && !quote && (*v == ' ' || *v == '\t' || *v == '\n'))
					end_field(f);
				else
					add(f, *v);
		} else {
			add(f, c);
		}
	}
}

char **expand_all(const struct word *words, int *count)
{
	struct fields f = {0};
	for (; words; words = words->next) {
		expand(&f, words->text, 1);
		end_field(&f);
	}
	if (!f.list)
		f.list = line_alloc(sizeof *f.list);
	f.list[f.count] = NULL;
	*count = f.count;
	return f.list;
}

char *expand_one(const char *text)
{
	struct fields f = {0};
	f.open = 1;
	expand(&f, text, 0);
	end_field(&f);
	return f.list[0];
}
