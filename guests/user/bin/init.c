/*
 * The first process: gives the console to a shell, takes care of orphans, and switches the machine off with the shell's
 * exit status when the shell ends.
 */
#include "applets.h"

static char *const environment[] = {"PATH=/bin", "HOME=/", "TERM=dumb", NULL};

static int shell(void)
{
	char *const argv[] = {"sh", NULL};
	int pid = fork();
	if (pid)
		return pid;
	setsid();
	/* Opened after setsid, so that it becomes this session's terminal and ^C reaches what runs on it. */
	int console = open("/dev/console", O_RDWR, 0);
	if (console >= 0) {
		for (int fd = 0; fd < 3; fd++)
			dup2(console, fd);
		if (console > 2)
			close(console);
	}
	ioctl(0, TIOCSCTTY, 0);
	int error = execve("/bin/sh", argv, environment);
	complain("/bin/sh", error);
	_exit(127);
}

int init_main(int argc, char **argv)
{
	int status = 0, pid, sh;
	(void)argc, (void)argv;
	/* The power switch below is real wherever this runs: not for anything but process 1. */
	if (getpid() != 1) {
		dprintf(2, "init: only process 1 can be init\n");
		return 1;
	}
	if (open("/dev/console", O_RDWR | O_NOCTTY, 0) == 0) {
		dup2(0, 1);
		dup2(0, 2);
	}
	sh = shell();
	if (sh < 0)
		complain("fork", sh);
	else
		do
			pid = wait4(-1, &status, 0);
		while (pid != sh && (pid > 0 || pid == -EINTR));
	reboot(REBOOT_POWER_OFF, sh < 0 ? 127 : status & 0x7f ? 128 + (status & 0x7f) : status >> 8 & 0xff);
	for (;;) { /* without a power switch there is nothing left to do */
		struct timespec long_time = {1000, 0};
		nanosleep(&long_time);
	}
}
