/* Pipes: a page of bytes between writers and readers. */
#include "errno.h"
#include "fs.h"
#include "proc.h"

struct pipe {
	u8 *ring; /* one page */
	u32 head, count;
	u32 readers, writers;
	struct waitq wait;
};

static long pipe_read(struct file *f, void *buf, size_t n)
{
	struct pipe *p = f->priv;
	size_t done = 0;

	if (!n)
		return 0;
	if (!p->count && p->writers && (f->flags & O_NONBLOCK))
		return -EAGAIN;
	int err = wait_event(&p->wait, p->count || !p->writers);
	if (err)
		return err;
	while (done < n && p->count) {
		u32 k = min(min((u32)PAGE_SIZE - p->head, p->count), (u32)min(n - done, PAGE_SIZE));
		if (copy_to_user((u8 *)buf + done, p->ring + p->head, k))
			return done ? (long)done : -EFAULT;
		p->head = (p->head + k) % PAGE_SIZE;
		p->count -= k;
		done += k;
	}
	wake_all(&p->wait);
	poll_wake();
	return done;
}

static long broken(size_t done)
{
	if (done)
		return done;
	send_signal(current, SIGPIPE);
	return -EPIPE;
}

static long pipe_write(struct file *f, const void *buf, size_t n)
{
	struct pipe *p = f->priv;
	size_t done = 0;

	while (done < n) {
		/* Up to a page goes in one piece or not at all (PIPE_BUF). */
		u32 need = n <= PAGE_SIZE ? n : 1;
		if (!p->readers)
			return broken(done);
		if (PAGE_SIZE - p->count < need && (f->flags & O_NONBLOCK))
			return done ? (long)done : -EAGAIN;
		int err = wait_event(&p->wait, PAGE_SIZE - p->count >= need || !p->readers);
		if (err)
			return done ? (long)done : err;
		if (!p->readers)
			return broken(done);
		while (done < n && p->count < PAGE_SIZE) {
			u32 at = (p->head + p->count) % PAGE_SIZE;
			u32 k = min(min((u32)PAGE_SIZE - at, (u32)PAGE_SIZE - p->count), (u32)min(n - done, PAGE_SIZE));
			if (copy_from_user(p->ring + at, (const u8 *)buf + done, k))
				return done ? (long)done : -EFAULT;
			p->count += k;
			done += k;
		}
		wake_all(&p->wait);
		poll_wake();
	}
	return done;
}

static void pipe_release(struct file *f)
{
	struct pipe *p = f->priv;

	if ((f->flags & O_ACCMODE) == O_WRONLY)
		p->writers--;
	else
		p->readers--;
	wake_all(&p->wait);
	poll_wake();
	if (!p->readers && !p->writers) {
		kfree(p->ring);
		kfree(p);
	}
}

static u32 pipe_poll(struct file *f)
{
	struct pipe *p = f->priv;

	if ((f->flags & O_ACCMODE) == O_WRONLY)
		return (p->count < PAGE_SIZE ? POLLOUT | POLLWRNORM : 0) | (p->readers ? 0 : POLLERR);
	return (p->count ? POLLIN | POLLRDNORM : 0) | (p->writers ? 0 : POLLHUP);
}

static const struct file_ops pipe_fops = { .read = pipe_read, .write = pipe_write, .release = pipe_release, .poll = pipe_poll };

long sys_pipe2(int *fds, u32 flags)
{
	struct pipe *p = kzalloc(sizeof(*p));
	u8 *ring = kmalloc(PAGE_SIZE);
	struct file *r = file_new(NULL, &pipe_fops, flags & O_NONBLOCK);
	struct file *w = file_new(NULL, &pipe_fops, (flags & O_NONBLOCK) | O_WRONLY);

	if (!p || !ring || !r || !w) {
		kfree(p);
		kfree(ring);
		kfree(r);
		kfree(w);
		return -ENOMEM;
	}
	p->ring = ring;
	p->readers = p->writers = 1;
	r->priv = w->priv = p;
	int fd[2] = { fd_install(r, flags & O_CLOEXEC), -1 };
	if (fd[0] >= 0)
		fd[1] = fd_install(w, flags & O_CLOEXEC);
	int err = fd[1] < 0 ? -EMFILE : copy_to_user(fds, fd, sizeof(fd));
	if (err) {
		for (int i = 0; i < 2; i++)
			if (fd[i] >= 0)
				current->files[fd[i]] = NULL;
		file_put(r);
		file_put(w);
	}
	return err;
}

long sys_pipe(int *fds) { return sys_pipe2(fds, 0); }
