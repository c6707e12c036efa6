#include "sh.h"

/* ---- memory of a line --------------------------------------------------------------------------------------- */
struct chunk {
	struct chunk *next;
	ulong align[3];
};
static struct chunk *chunks;

void *line_alloc(size_t n)
{
	struct chunk *c = malloc(sizeof *c + n);
	c->next = chunks;
	chunks = c;
	return c + 1;
}

static void line_free(void)
{
	for (struct chunk *next; chunks; chunks = next) {
		next = chunks->next;
		free(chunks);
	}
}

/* ---- processes ---------------------------------------------------------------------------------------------- */
static int interactive; /* the shell itself, at a terminal: it prompts and does job control */
static int own_group;

static int exit_status(int status)
{
	static const char *const deaths[32] = {
		[3] = "Quit", [4] = "Illegal instruction", [5] = "Trace trap", [6] = "Aborted", [7] = "Bus error",
		[8] = "Floating point exception", [9] = "Killed", [11] = "Segmentation fault", [15] = "Terminated",
	};
	int signal = status & 0x7f;
	if (!signal)
		return status >> 8 & 0xff;
	if (signal < 32 && deaths[signal])
		dprintf(2, "%s\n", deaths[signal]);
	else if (signal == SIGINT)
		dprintf(2, "\n");
	return 128 + signal;
}

static void give_terminal(int group)
{
	if (interactive)
		ioctl(0, TIOCSPGRP, &group);
}

/* In the child: out of the shell's ways into a program's. */
static void become_child(int group, int foreground)
{
	static const int ignored[] = {SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU};
	if (interactive) {
		setpgid(0, group);
		if (foreground)
			give_terminal(group ? group : getpid());
		for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
			signal(ignored[i], SIG_DFL);
	}
	if (!foreground && !interactive)
		signal(SIGINT, SIG_IGN);
	interactive = 0;
}

static int start_child(int group, int foreground)
{
	int pid = fork();
	if (pid == 0)
		become_child(group, foreground);
	else if (pid < 0)
		complain("fork", pid);
	else if (interactive)
		setpgid(pid, group ? group : pid);
	return pid;
}

static int wait_for(int pid)
{
	int status = 0, got;
	do
		got = wait4(pid, &status, 0);
	while (got == -EINTR);
	return got < 0 ? 127 : exit_status(status);
}

/* ---- commands ----------------------------------------------------------------------------------------------- */
static int run(const struct node *n);

static int redirect(const struct redirect *r)
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

/* Tries one path; comes back with the error. */
static int execute_path(const char *path, char **argv, int argc)
{
	int error = execve(path, argv, environ);
	if (error == -ENOEXEC) { /* no program: a script, then */
		char **args = line_alloc((argc + 2) * sizeof *args);
		args[0] = "sh";
		args[1] = (char *)path;
		memcpy(args + 2, argv + 1, argc * sizeof *args);
		execve("/bin/sh", args, environ);
	}
	return error;
}

static void __attribute__((noreturn)) execute(char **argv, int argc)
{
	int error = -ENOENT;
	if (strchr(argv[0], '/')) {
		error = execute_path(argv[0], argv, argc);
		complain(argv[0], error);
		_exit(error == -ENOENT ? 127 : 126);
	}
	const char *path = variable("PATH", 4), *end;
	for (path = path ? path : "/bin"; *path; path = *end ? end + 1 : end) {
		char full[256];
		for (end = path; *end && *end != ':'; end++)
			;
		size_t n = end - path;
		if (n + 1 + strlen(argv[0]) >= sizeof full)
			continue;
		memcpy(full, path, n);
		full[n] = '/';
		strcpy(full + n + 1, argv[0]);
		int this_error = execute_path(full, argv, argc);
		if (this_error != -ENOENT)
			error = this_error;
	}
	if (error == -ENOENT)
		dprintf(2, "sh: %s: not found\n", argv[0]);
	else
		complain(argv[0], error);
	_exit(error == -ENOENT ? 127 : 126);
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
	int (*run)(int argc, char **argv);
} builtins[] = {
	{"cd", builtin_cd}, {"exit", builtin_exit}, {"export", builtin_export}, {"help", builtin_help}, {"pwd", builtin_pwd},
	{"wait", builtin_wait},
};

#define SAVED 20 /* where the shell's own 0, 1 and 2 wait while a builtin is redirected */

static int run_builtin(int (*f)(int, char **), int argc, char **argv, const struct redirect *r)
{
	if (!r)
		return f(argc, argv);
	for (int fd = 0; fd < 3; fd++)
		dup2(fd, SAVED + fd);
	int status = redirect(r);
	if (!status)
		status = f(argc, argv);
	for (int fd = 0; fd < 3; fd++) {
		dup2(SAVED + fd, fd);
		close(SAVED + fd);
	}
	return status;
}

/* NAME=value in front of a command; NULL: it is none. */
static const char *assignment(const char *text)
{
	const char *p = text;
	while (*p == '_' || (*p >= 'a' && *p <= 'z') || (*p >= 'A' && *p <= 'Z') || (p > text && *p >= '0' && *p <= '9'))
		p++;
	return p > text && *p == '=' ? p : NULL;
}

/* In this process, which is a child and ends with the command. */
static void run_here(const struct node *n)
{
	if (n->kind == COMMAND) {
		struct word *w = n->words;
		const char *equals;
		int argc;
		for (; w && (equals = assignment(w->text)); w = w->next)
			set_variable(w->text, equals - w->text, expand_one(equals + 1));
		char **argv = expand_all(w, &argc);
		if (redirect(n->redirects))
			exit(1);
		if (!argc)
			exit(0);
		for (size_t i = 0; i < ARRAY_SIZE(builtins); i++)
			if (!strcmp(builtins[i].name, argv[0]))
				exit(builtins[i].run(argc, argv));
		execute(argv, argc);
	}
	if (n->kind == SUBSHELL) {
		if (redirect(n->redirects))
			exit(1);
		n = n->left;
	}
	exit(run(n));
}

static int run_command(const struct node *n)
{
	struct word *w = n->words;
	if (n->kind == COMMAND) {
		int argc;
		while (w && assignment(w->text))
			w = w->next;
		if (!w && !n->redirects) {
			for (w = n->words; w; w = w->next) {
				const char *equals = assignment(w->text);
				set_variable(w->text, equals - w->text, expand_one(equals + 1));
			}
			return 0;
		}
		if (w == n->words) {
			char **argv = expand_all(w, &argc);
			for (size_t i = 0; argc && i < ARRAY_SIZE(builtins); i++)
				if (!strcmp(builtins[i].name, argv[0]))
					return run_builtin(builtins[i].run, argc, argv, n->redirects);
		}
	}
	int pid = start_child(0, 1);
	if (pid < 0)
		return 126;
	if (pid == 0)
		run_here(n);
	give_terminal(pid);
	int status = wait_for(pid);
	give_terminal(own_group);
	return status;
}

static int run_pipeline(const struct node *n)
{
	const struct node *commands[16];
	int count = 0, pids[16], input = -1, group = 0, status = 0;
	for (; n->kind == PIPE && count < 15; n = n->left)
		commands[count++] = n->right;
	commands[count++] = n;
	for (int i = count - 1; i >= 0; i--) {
		int ends[2] = {-1, -1};
		int error = i > 0 ? pipe(ends) : 0;
		if (error < 0)
			complain("pipe", error);
		pids[i] = start_child(group, 1);
		if (pids[i] == 0) {
			if (input >= 0) {
				dup2(input, 0);
				close(input);
			}
			if (ends[1] >= 0) {
				dup2(ends[1], 1);
				close(ends[0]);
				close(ends[1]);
			}
			run_here(commands[i]);
		}
		if (!group && pids[i] > 0)
			give_terminal(group = pids[i]);
		if (input >= 0)
			close(input);
		if (ends[1] >= 0)
			close(ends[1]);
		input = ends[0];
	}
	for (int i = count - 1; i >= 0; i--)
		status = pids[i] > 0 ? wait_for(pids[i]) : 126;
	give_terminal(own_group);
	return status;
}

static int run_background(const struct node *n)
{
	int pid = start_child(0, 0);
	if (pid == 0) {
		int null = open("/dev/null", O_RDONLY, 0);
		if (null > 0) {
			dup2(null, 0);
			close(null);
		}
		run_here(n);
	}
	if (pid < 0)
		return 126;
	last_background = pid;
	if (interactive)
		dprintf(2, "[%d]\n", pid);
	return 0;
}

static int run(const struct node *n)
{
	switch (n->kind) {
	case PIPE: last_status = run_pipeline(n); break;
	case AND:
		if (run(n->left) == 0)
			run(n->right);
		break;
	case OR:
		if (run(n->left) != 0)
			run(n->right);
		break;
	case NOT: last_status = !run(n->left); break;
	case SEQUENCE:
		run(n->left);
		run(n->right);
		break;
	case BACKGROUND: last_status = run_background(n->left); break;
	default: last_status = run_command(n);
	}
	return last_status;
}

/* ---- lines -------------------------------------------------------------------------------------------------- */
static volatile int interrupted;
static void interrupt(int sig)
{
	(void)sig;
	interrupted = 1;
}

/*
 * The next line of fd without its newline; NULL at the end. Byte by byte from anything but a terminal, which hands out one
 * line at a time anyway: what we do not use belongs to the commands that we start.
 */
static char *read_line(int fd)
{
	size_t used = 0, size = 128;
	char *line = malloc(size);
	for (;;) {
		long n = read(fd, line + used, interactive ? size - 1 - used : 1);
		if (n == -EINTR && interrupted) {
			/* What was typed is gone; a new line, and a new prompt. */
			interrupted = 0;
			last_status = 128 + SIGINT;
			write(2, "\n", 1);
			line[0] = 0;
			return line;
		}
		if (n == -EINTR)
			continue;
		if (n <= 0 && used == 0) {
			free(line);
			return NULL;
		}
		used += n > 0 ? n : 0;
		if (n <= 0 || line[used - 1] == '\n')
			break;
		if (used + 1 == size) {
			char *bigger = malloc(size *= 2);
			memcpy(bigger, line, used);
			free(line);
			line = bigger;
		}
	}
	if (line[used - 1] == '\n')
		used--;
	line[used] = 0;
	return line;
}

static void run_line(const char *line)
{
	const char *error;
	struct node *n = parse(line, &error);
	if (error) {
		dprintf(2, "sh: %s\n", error);
		last_status = 2;
	} else if (n) {
		run(n);
	}
	line_free();
}

static void reap(void)
{
	int status, pid;
	while ((pid = wait4(-1, &status, WNOHANG)) > 0)
		dprintf(2, "[%d] ended, status %d\n", pid, exit_status(status));
}

int sh_main(int argc, char **argv)
{
	char scratch[64];
	int fd = 0;
	program = "sh";
	shell_pid = getpid();
	if (argc > 2 && !strcmp(argv[1], "-c")) {
		run_line(argv[2]);
		return last_status;
	}
	if (argc > 1) {
		fd = open(argv[1], O_RDONLY | O_CLOEXEC, 0);
		if (fd < 0)
			return complain(argv[1], fd), 127;
	}
	interactive = fd == 0 && ioctl(0, TCGETS, scratch) >= 0;
	if (interactive) {
		static const int ignored[] = {SIGINT, SIGQUIT, SIGTSTP, SIGTTIN, SIGTTOU};
		for (size_t i = 0; i < ARRAY_SIZE(ignored); i++)
			signal(ignored[i], SIG_IGN);
		signal(SIGINT, (ulong)interrupt);
		own_group = getpid();
		setpgid(0, own_group);
		give_terminal(own_group);
	}
	for (;;) {
		if (interactive) {
			reap();
			dprintf(2, "puppy# ");
		}
		char *line = read_line(fd);
		if (!line)
			break;
		run_line(line);
		free(line);
	}
	if (interactive)
		dprintf(2, "\n");
	return last_status;
}
