/* The shell: what it does itself, and redirections, which must be undone afterwards if it does. */
#include "sh.h"

int apply(const struct redirect *r)
{
	for (; r; r = r->next) {
		char *target = expand_one(r->text);
		int fd = r->flags == -1 ? (int)number(target, -1) : open(target, r->flags, 0644);
		if (fd < 0)
			return complain(target, r->flags == -1 ? EBADF : fd);
		int error = dup2(fd, r->fd);
		if (r->flags != -1 && fd != r->fd)
			close(fd);
		if (error < 0)
			return complain(target, error);
	}
	return 0;
}

static int builtin_cd(int argc, char **argv)
{
	const char *to = argc > 1 ? argv[1] : variable("HOME", 4);
	int error = chdir(to ? to : "/");
	return error < 0 ? complain(to, error) : 0;
}

static int builtin_exit(int argc, char **argv)
{
	long status = argc > 1 ? number(argv[1], -1) : last_status;
	if (status < 0) {
		dprintf(2, "sh: exit: %s is no status\n", argv[1]);
		status = 2;
	}
	exit(status & 0xff);
}

static int builtin_pwd(int argc, char **argv)
{
	char path[256];
	int n = getcwd(path, sizeof path);
	(void)argc, (void)argv;
	if (n < 0)
		return complain("pwd", n);
	printf("%s\n", path);
	return flush() != 0;
}

static int builtin_wait(int argc, char **argv)
{
	if (argc > 1)
		return wait_for(number(argv[1], -1));
	int status;
	while (wait4(-1, &status, 0) > 0)
		;
	return 0;
}

static int builtin_help(int argc, char **argv)
{
	(void)argc, (void)argv;
	printf("Built in: cd exit export help pwd wait; NAME=value; pipes | redirections < > >> 2> >&; & ; && || ! ( )\n");
	printf("Programs are in /bin. 'poweroff N' or the end of the input switches the machine off.\n");
	return flush() != 0;
}

static int builtin_export(int argc, char **argv)
{
	for (int i = 1; i < argc; i++) {
		const char *equals = strchr(argv[i], '=');
		if (equals)
			set_variable(argv[i], equals - argv[i], equals + 1);
	}
	return 0;
}

static const struct {
	const char *name;
	builtin *run;
} builtins[] = {
	{"cd", builtin_cd}, {"exit", builtin_exit}, {"export", builtin_export}, {"help", builtin_help}, {"pwd", builtin_pwd},
	{"wait", builtin_wait},
};

builtin *find_builtin(const char *name)
{
	for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
		if (!strcmp(builtins[i].name, name))
			return builtins[i].run;
	return NULL;
}

#define SAVED 20 /* where the shell's own 0, 1 and 2 wait while a builtin is redirected */

int run_builtin(builtin *f, int argc, char **argv, const struct redirect *r)
{
	if (!r)
		return f(argc, argv);
	for (int fd = 0; fd < 3; fd++)
		dup2(fd, SAVED + fd);
	int status = apply(r);
	if (!status)
		status = f(argc, argv);
	for (int fd = 0; fd < 3; fd++) {
		dup2(SAVED + fd, fd);
		close(SAVED + fd);
	}
	return status;
}
