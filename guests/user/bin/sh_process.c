/* The shell: children, job control, and programs. */
#include "sh.h"

int interactive; /* the shell itself, at a terminal: it prompts and does job control */
int own_group;

int exit_status(int status)
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

void give_terminal(int group)
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

int start_child(int group, int foreground)
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

int wait_for(int pid)
{
	int status = 0, got;
	do
		got = wait4(pid, &status, 0);
	while (got == -EINTR);
	return got < 0 ? 127 : exit_status(status);
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

void __attribute__((noreturn)) execute(char **argv, int argc)
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
