/* Pipes: a page of bytes between writers and readers. */
#include "errno.h"
#include "fs.h"
#include "proc.h"

struct pipe {
	u8 *ring; /* one page */
	u32 head, count;
	u32 readers, writers;
	struct mutex lock; /* all of these; not held while waiting for the other side */
	struct waitq wait;
	u32 ends; /* file structures that have not let go yet */
};

static long take(struct pipe *p, u8 *buf, size_t n)
{
	size_t done = 0;

	while (done < n && p->count) {
		u32 k = min(min((u32)PAGE_SIZE - p->head, p->count), (u32)min(n - done, PAGE_SIZE));
		if (copy_to_user(buf + done, p->ring + p->head, k))
			return done ? (long)done : -EFAULT;
		p->head = (p->head + k) % PAGE_SIZE;
		p->count -= k;
		done += k;
	}
	return done;
}

static bool nothing_yet(struct pipe *p) { return !READ_ONCE(p->count) && READ_ONCE(p->writers); }

static long pipe_read(struct file *f, void *buf, size_t n)
{
	struct pipe *p = f->priv;

	if (!n)
		return 0;
	for (;;) {
		if ((f->flags & O_NONBLOCK) && nothing_yet(p))
			return -EAGAIN;
		int err = wait_event(&p->wait, !nothing_yet(p));
		if (err)
			return err;
		mutex_lock(&p->lock);
		if (!nothing_yet(p))
			break;
		mutex_unlock(&p->lock); /* another reader was quicker */
	}
	long r = take(p, buf, n);
	mutex_unlock(&p->lock);
	wake_and_poll(&p->wait);
	return r;
}

static long give(struct pipe *p, const u8 *buf, size_t n)
{
	size_t done = 0;

	while (done < n && p->count < PAGE_SIZE) {
		u32 at = (p->head + p->count) % PAGE_SIZE;
		u32 k = min(min((u32)PAGE_SIZE - at, (u32)PAGE_SIZE - p->count), (u32)min(n - done, PAGE_SIZE));
		if (copy_from_user(p->ring + at, buf + done, k))
			return done ? (long)done : -EFAULT;
		p->count += k;
		done += k;
	}
	return done;
}

static bool room_for(struct pipe *p, u32 need) { return PAGE_SIZE - READ_ONCE(p->count) >= need || !READ_ONCE(p->readers); }

static __attribute__((noinline)) int wait_for_room(struct file *f, u32 need)
{
	struct pipe *p = f->priv;

	return f->flags & O_NONBLOCK ? -EAGAIN : wait_event(&p->wait, room_for(p, need));
}

static __attribute__((noinline)) long broken(size_t done)
{
	if (!done)
		send_signal(current, SIGPIPE);
	return -EPIPE;
}

static long pipe_write(struct file *f, const void *buf, size_t n)
{
	struct pipe *p = f->priv;
	size_t done = 0;
	/* Up to a page goes in one piece or not at all (PIPE_BUF). */
	u32 need = n <= PAGE_SIZE ? n : 1;
	long r = 0;

	while (done < n && r >= 0) {
		mutex_lock(&p->lock);
		if (unlikely(!p->readers || PAGE_SIZE - p->count < need)) {
			bool readers = p->readers;
			mutex_unlock(&p->lock);
			r = readers ? wait_for_room(f, need) : broken(done);
			continue;
		}
		r = give(p, (const u8 *)buf + done, n - done);
		mutex_unlock(&p->lock);
		if (r > 0)
			done += r;
		wake_and_poll(&p->wait);
	}
	return done ? (long)done : r;
}

static void pipe_release(struct file *f)
{
	struct pipe *p = f->priv;

	mutex_lock(&p->lock);
	if ((f->flags & O_ACCMODE) == O_WRONLY)
		p->writers--;
	else
		p->readers--;
	mutex_unlock(&p->lock);
	wake_and_poll(&p->wait);
	if (!__atomic_sub_fetch(&p->ends, 1, __ATOMIC_ACQ_REL)) {
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
	p->ends = 2;
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
