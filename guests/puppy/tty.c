/*
 * The terminal: between the console device, which moves bytes, and programs, which want lines. In canonical mode input
 * is edited (backspace, ^U, ^W) and echoed until Enter, ^C signals the foreground processes, ^D is the end of file.
 */
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"

/* struct termios as the kernel ABI has it (asm-generic/termbits.h) */
struct termios {
	u32 iflag, oflag, cflag, lflag;
	u8 line, cc[19];
};
enum { VINTR, VQUIT, VERASE, VKILL, VEOF, VTIME, VMIN, VSTART = 8, VSTOP, VSUSP, VEOL, VWERASE = 14 };
#define ICRNL 0400
#define INLCR 0100
#define IGNCR 0200
#define OPOST 1
#define ONLCR 4
#define ISIG 1
#define ICANON 2
#define ECHO 010
#define ECHOE 020
#define ECHOK 040
#define ECHOCTL 01000

#define CTRL(c) ((c)-'@')
#define INPUT_SIZE 4096 /* a power of two */
#define LINE_END 0x100  /* marks in the input: a line ends here … */
#define EOF_MARK 0x200  /* … by ^D, which is not part of it */

static struct {
	struct termios t;
	u16 in[INPUT_SIZE];
	u32 read, lines_to, write; /* positions: consumed, complete lines up to here, the line being typed */
	struct waitq wait;
	pid_t pgrp; /* foreground; 0: nobody has said */
	void (*out)(const char *s, size_t n);
	void (*resume)(void);
	spinlock_t lock;
} tty = {
	.t = {
		.iflag = ICRNL,
		.oflag = OPOST | ONLCR,
		.cflag = 0xbf, /* 38400 baud, 8 bits, receiver on */
		.lflag = ISIG | ICANON | ECHO | ECHOE | ECHOK | ECHOCTL,
		.cc = { [VINTR] = CTRL('C'), [VQUIT] = CTRL('\\'), [VERASE] = 0x7f, [VKILL] = CTRL('U'), [VEOF] = CTRL('D'),
			[VMIN] = 1, [VSTART] = CTRL('Q'), [VSTOP] = CTRL('S'), [VSUSP] = CTRL('Z'), [VWERASE] = CTRL('W') },
	},
};

void tty_attach(void (*write)(const char *s, size_t n), void (*resume)(void))
{
	tty.out = write;
	tty.resume = resume;
}

static void put(const char *s, size_t n)
{
	if (tty.out)
		tty.out(s, n);
}

/* ---- Output ---- */

static void put_processed(const char *s, size_t n)
{
	size_t from = 0;

	if ((tty.t.oflag & (OPOST | ONLCR)) == (OPOST | ONLCR))
		for (size_t i = 0; i < n; i++)
			if (s[i] == '\n') {
				put(s + from, i - from);
				put("\r\n", 2);
				from = i + 1;
			}
	if (n > from)
		put(s + from, n - from);
}

static long tty_write(struct file *f, const void *buf, size_t n)
{
	char raw[256], cooked[512];
	size_t done = 0;

	(void)f;
	while (done < n) {
		size_t k = min(n - done, sizeof(raw)), m = 0;
		if (copy_from_user(raw, (const char *)buf + done, k))
			return done ? (long)done : -EFAULT;
		bool crlf = (tty.t.oflag & (OPOST | ONLCR)) == (OPOST | ONLCR);
		for (size_t i = 0; i < k; i++) {
			if (raw[i] == '\n' && crlf)
				cooked[m++] = '\r';
			cooked[m++] = raw[i];
		}
		put(cooked, m);
		done += k;
	}
	return done;
}

/* ---- Input, in the console's interrupt ---- */

static u32 room(void) { return INPUT_SIZE - (tty.write - tty.read); }

static void echo(u8 c)
{
	char s[2] = { '^', c ^ 0x40 };

	if (!(tty.t.lflag & ECHO))
		return;
	if ((c < 32 && c != '\n' && c != '\t') || c == 0x7f) {
		if (tty.t.lflag & ECHOCTL)
			put(s, 2);
	} else {
		s[0] = c;
		put_processed(s, 1);
	}
}

/* Takes the last character of the line back, on the screen too. */
static bool erase(void)
{
	if (tty.write == tty.lines_to)
		return false;
	u8 c = tty.in[--tty.write % INPUT_SIZE];
	if ((tty.t.lflag & (ECHO | ECHOE)) == (ECHO | ECHOE))
		put(c < 32 ? "\b \b\b \b" : "\b \b", c < 32 ? 6 : 3);
	return true;
}

static u8 last_typed(void) { return tty.in[(tty.write - 1) % INPUT_SIZE]; }

static void interrupt(u8 c, int sig)
{
	echo(c);
	/* What was typed before is not meant any more. */
	tty.read = tty.lines_to = tty.write;
	if (tty.pgrp) {
		signal_group(tty.pgrp, sig);
		return;
	}
	signal_all(sig, NULL);
}

static void finish_line(u16 c)
{
	tty.in[tty.write++ % INPUT_SIZE] = c;
	tty.lines_to = tty.write;
	wake_all(&tty.wait);
	poll_wake();
}

static void receive(u8 c)
{
	struct termios *t = &tty.t;

	if (c == '\r' && (t->iflag & IGNCR))
		return;
	if (c == '\r' && (t->iflag & ICRNL))
		c = '\n';
	else if (c == '\n' && (t->iflag & INLCR))
		c = '\r';
	if (t->lflag & ISIG) {
		if (c == t->cc[VINTR])
			return interrupt(c, SIGINT);
		if (c == t->cc[VQUIT])
			return interrupt(c, SIGQUIT);
	}
	if (!(t->lflag & ICANON)) {
		echo(c);
		return finish_line(c);
	}
	if (c == t->cc[VERASE] || c == '\b') {
		erase();
	} else if (c == t->cc[VKILL]) {
		while (erase())
			;
	} else if (c == t->cc[VWERASE]) {
		while (tty.write != tty.lines_to && last_typed() == ' ')
			erase();
		while (tty.write != tty.lines_to && last_typed() != ' ')
			erase();
	} else if (c == t->cc[VEOF]) {
		finish_line(EOF_MARK);
	} else if (c == '\n') {
		echo(c);
		finish_line('\n' | LINE_END);
	} else if (room() > 2) {
		/* The last two places are for the end of the line. */
		echo(c);
		tty.in[tty.write++ % INPUT_SIZE] = c;
	}
}

bool tty_input(u8 c)
{
	ulong flags = spin_lock_irqsave(&tty.lock);
	/* With complete lines waiting, more can wait in the device; an endless line must be taken to be cut. */
	bool ok = room() > 8 || (tty.read == tty.lines_to && room() > 0);

	if (ok)
		receive(c);
	spin_unlock_irqrestore(&tty.lock, flags);
	return ok;
}

/* ---- Reading ---- */

/* Into a buffer of ours, as user memory may fault and the lock spins. What is taken is taken, should the copy fail. */
static size_t take(u8 *to, size_t n, bool *line_end)
{
	size_t done = 0;
	ulong flags = spin_lock_irqsave(&tty.lock);

	while (done < n && !*line_end && tty.read != tty.lines_to) {
		u16 c = tty.in[tty.read++ % INPUT_SIZE];
		/* The end of file only if nothing came before it, else it ends this line. */
		*line_end = c == EOF_MARK || (c & LINE_END);
		if (c != EOF_MARK)
			to[done++] = c;
	}
	spin_unlock_irqrestore(&tty.lock, flags);
	return done;
}

static bool nothing_to_read(void) { return READ_ONCE(tty.read) == READ_ONCE(tty.lines_to); }

static long tty_read(struct file *f, void *buf, size_t n)
{
	u8 some[128];
	size_t done = 0;
	bool line_end = false;

	if (!n)
		return 0;
	if ((f->flags & O_NONBLOCK) && nothing_to_read())
		return -EAGAIN;
	if (!(tty.t.lflag & ICANON) && !tty.t.cc[VMIN] && nothing_to_read())
		return 0;
	while (!done && !line_end) {
		int err = wait_event(&tty.wait, !nothing_to_read());
		if (err)
			return err;
		/* Another reader may be quicker: then wait again. */
		while (done < n && !line_end) {
			size_t k = take(some, min(n - done, sizeof(some)), &line_end);
			if (!k)
				break;
			if (copy_to_user((u8 *)buf + done, some, k))
				return done ? (long)done : -EFAULT;
			done += k;
		}
	}
	if (tty.resume)
		tty.resume();
	return done;
}

/* ---- ioctl ---- */

#define TCGETS 0x5401
#define TCSETS 0x5402
#define TCSETSW 0x5403
#define TCSETSF 0x5404
#define TIOCGPGRP 0x540f
#define TIOCSPGRP 0x5410
#define TIOCGWINSZ 0x5413
#define FIONREAD 0x541b
#define TIOCSCTTY 0x540e

static long set_termios(ulong arg, bool flush)
{
	struct termios t;

	if (copy_from_user(&t, (void *)arg, sizeof(t)))
		return -EFAULT;
	ulong flags = spin_lock_irqsave(&tty.lock);
	/* Leaving canonical mode, a line half typed becomes readable as it is. */
	if ((tty.t.lflag & ICANON) && !(t.lflag & ICANON))
		tty.lines_to = tty.write;
	tty.t = t;
	if (flush)
		tty.read = tty.lines_to = tty.write;
	wake_all(&tty.wait);
	poll_wake();
	spin_unlock_irqrestore(&tty.lock, flags);
	return 0;
}

static long tty_ioctl(struct file *f, ulong cmd, ulong arg)
{
	u16 winsize[4] = { 24, 80, 0, 0 };
	pid_t pgrp;

	(void)f;
	switch (cmd) {
	case TCGETS:
		return copy_to_user((void *)arg, &tty.t, sizeof(tty.t));
	case TCSETS:
	case TCSETSW:
	case TCSETSF:
		return set_termios(arg, cmd == TCSETSF);
	case TIOCGPGRP:
		return put_user(tty.pgrp ? tty.pgrp : current->pgrp, (pid_t *)arg);
	case TIOCSPGRP:
		if (get_user(pgrp, (pid_t *)arg))
			return -EFAULT;
		tty.pgrp = pgrp;
		return 0;
	case TIOCGWINSZ:
		return copy_to_user((void *)arg, winsize, sizeof(winsize));
	case FIONREAD:
		return put_user((int)(tty.lines_to - tty.read), (int *)arg);
	case TIOCSCTTY:
		return 0;
	}
	return -ENOTTY;
}

static u32 tty_poll(struct file *f)
{
	(void)f;
	return POLLOUT | POLLWRNORM | (tty.read != tty.lines_to ? POLLIN | POLLRDNORM : 0);
}

const struct file_ops tty_fops = { .read = tty_read, .write = tty_write, .ioctl = tty_ioctl, .poll = tty_poll };
