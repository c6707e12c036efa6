/* The shell: runs a tree of commands. */
#include "sh.h"

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
		if (apply(n->redirects))
			exit(1);
		if (!argc)
			exit(0);
		builtin *own = find_builtin(argv[0]);
		if (own)
			exit(own(argc, argv));
		execute(argv, argc);
	}
	if (n->kind == SUBSHELL) {
		if (apply(n->redirects))
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
			builtin *own = argc ? find_builtin(argv[0]) : NULL;
			if (own)
				return run_builtin(own, argc, argv, n->redirects);
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

int run(const struct node *n)
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
