/* The shell: reads lines and has them run. */
#include "sh.h"

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
