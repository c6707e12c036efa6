/*
 * poll and select: waiting for any of several files. A task sleeps on one queue at a time, so all that wait like this sleep
 * on the same, everything that may be news to a file wakes it, and each looks again whether the news is its own.
 */
#include "errno.h"
#include "fs.h"
#include "proc.h"

struct waitq pollers;

void poll_wake(void) { wake_all(&pollers); }

struct pollfd {
	int fd;
	s16 events, revents;
};
#define MOST 1024 /* entries of one call: some may be for the same file */

static u32 state(struct file *f) { return f->fops->poll ? f->fops->poll(f) : POLLIN | POLLOUT | POLLRDNORM | POLLWRNORM; }

static int look(struct pollfd *list, u32 n)
{
	int ready = 0;

	for (struct pollfd *p = list; p < list + n; p++) {
		struct file *f = p->fd < 0 ? NULL : fd_get(p->fd);
		/* Errors are told unasked. */
		p->revents = p->fd < 0 ? 0 : !f ? POLLNVAL : state(f) & ((u16)p->events | POLLERR | POLLHUP);
		ready += p->revents != 0;
	}
	return ready;
}

/* Deadline 0: none; 1: has passed. */
static int wait_ready(struct pollfd *list, u32 n, u64 deadline)
{
	struct timeout timeout;
	int ready = look(list, n), err = 0;

	if (ready || deadline == 1)
		return ready;
	timeout_start(&timeout, &pollers, deadline);
	err = wait_event(&pollers, (ready = look(list, n)) || READ_ONCE(timeout.expired));
	timeout_end(&timeout);
	/* A call with a relative timeout must not begin anew after a signal. */
	return err ? -EINTR : ready;
}

static u64 deadline_after(s64 sec, s64 nsec)
{
	if (!sec && !nsec)
		return 1;
	return now_ns() + (u64)min(sec, (s64)1000000000) * NSEC_PER_SEC + nsec;
}

static long do_poll(struct pollfd *user, u32 n, u64 deadline)
{
	if (n > MOST)
		return -EINVAL;
	struct pollfd *list = kmalloc(max(n, 1u) * sizeof(*list));
	if (!list)
		return -ENOMEM;
	long r = -EFAULT;
	if (!copy_from_user(list, user, n * sizeof(*list))) {
		r = wait_ready(list, n, deadline);
		for (u32 i = 0; r >= 0 && i < n; i++)
			if (put_user(list[i].revents, &user[i].revents))
				r = -EFAULT;
	}
	kfree(list);
	return r;
}

long sys_poll(struct pollfd *user, u32 n, int milliseconds)
{
	return do_poll(user, n, milliseconds < 0 ? 0 : deadline_after(milliseconds / 1000, milliseconds % 1000 * 1000000));
}

/* ---- Timeouts in their several forms: seconds, and what is left in units of so many nanoseconds; NULL: for ever ---- */

static int read_timeout(const void *user, bool wide, u32 unit, u64 *deadline)
{
	s64 v[2];
	long narrow[2];

	*deadline = 0;
	if (!user)
		return 0;
	if (wide ? copy_from_user(v, user, sizeof(v)) : copy_from_user(narrow, user, sizeof(narrow)))
		return -EFAULT;
	if (!wide)
		v[0] = narrow[0], v[1] = narrow[1];
	if (v[0] < 0 || v[1] < 0 || v[1] >= (s64)NSEC_PER_SEC)
		return -EINVAL;
	*deadline = deadline_after(v[0], v[1] * unit);
	return 0;
}

/* While it waits, the task has another set of blocked signals; the old one comes back when they have been looked at. */
static int borrow_mask(const u64 *user, ulong size)
{
	u64 mask;

	if (!user)
		return 0;
	if (size != sizeof(mask))
		return -EINVAL;
	if (get_user(mask, user))
		return -EFAULT;
	current->sig_saved_mask = current->sig_blocked;
	current->sig_restore_mask = true;
	current->sig_blocked = mask & ~(SIGBIT(SIGKILL) | SIGBIT(SIGSTOP));
	return 0;
}

static long ppoll(struct pollfd *user, u32 n, const void *timeout, bool wide, const u64 *mask, ulong size)
{
	u64 deadline;
	int err = read_timeout(timeout, wide, 1, &deadline);

	if (!err)
		err = borrow_mask(mask, size);
	return err ? err : do_poll(user, n, deadline);
}

long sys_ppoll(struct pollfd *user, u32 n, const void *timeout, const u64 *mask, ulong size)
{
	return ppoll(user, n, timeout, false, mask, size);
}
long sys_ppoll_time64(struct pollfd *user, u32 n, const void *timeout, const u64 *mask, ulong size)
{
	return ppoll(user, n, timeout, true, mask, size);
}

/* ---- select: the same with sets of bits, one for each descriptor. No file has exceptional conditions. ---- */

_Static_assert(NOFILE == 64, "a set of descriptors is one u64");

static u32 set_bytes(u32 n) { return ALIGN_UP((n + 7) / 8, (u32)sizeof(long)); }

static int read_set(const u64 *user, u32 n, u64 *set)
{
	*set = 0;
	if (!user || !n)
		return 0;
	if (copy_from_user(set, user, set_bytes(n)))
		return -EFAULT;
	*set &= ~0ull >> (64 - n);
	return 0;
}

static int write_set(u64 *user, u32 n, u64 set) { return user && n ? copy_to_user(user, &set, set_bytes(n)) : 0; }

static long do_select(int n, u64 *user_in, u64 *user_out, u64 *user_except, u64 deadline)
{
	u64 in, out, except, ready_in = 0, ready_out = 0;
	struct pollfd list[NOFILE];
	u32 count = 0;

	if (n < 0)
		return -EINVAL;
	n = min(n, NOFILE);
	if (read_set(user_in, n, &in) || read_set(user_out, n, &out) || read_set(user_except, n, &except))
		return -EFAULT;
	for (int fd = 0; fd < n; fd++) {
		bool reads = in >> fd & 1, writes = out >> fd & 1;
		if (!reads && !writes && !(except >> fd & 1))
			continue;
		if (!fd_get(fd))
			return -EBADF;
		list[count++] = (struct pollfd){ fd, (reads ? POLLIN : 0) | (writes ? POLLOUT : 0), 0 };
	}
	int err = wait_ready(list, count, deadline);
	if (err < 0)
		return err;
	long ready = 0;
	for (u32 i = 0; i < count; i++) {
		u64 bit = 1ull << list[i].fd;
		/* An end and an error are for the reader to find out, an error for the writer too. */
		if ((in & bit) && (list[i].revents & (POLLIN | POLLHUP | POLLERR)))
			ready_in |= bit, ready++;
		if ((out & bit) && (list[i].revents & (POLLOUT | POLLERR)))
			ready_out |= bit, ready++;
	}
	return write_set(user_in, n, ready_in) || write_set(user_out, n, ready_out) || write_set(user_except, n, 0) ? -EFAULT : ready;
}

long sys_select(int n, u64 *in, u64 *out, u64 *except, const void *timeval)
{
	u64 deadline;
	int err = read_timeout(timeval, false, 1000, &deadline);
	return err ? err : do_select(n, in, out, except, deadline);
}

/* i386's first: the arguments in memory. */
long sys_old_select(const ulong *args)
{
	ulong a[5];
	return copy_from_user(a, args, sizeof(a)) ? -EFAULT : sys_select(a[0], (u64 *)a[1], (u64 *)a[2], (u64 *)a[3], (void *)a[4]);
}

static long pselect6(int n, u64 *in, u64 *out, u64 *except, const void *timeout, bool wide, const ulong *mask_and_size)
{
	u64 deadline;
	ulong mask[2] = { 0, sizeof(u64) };
	int err = read_timeout(timeout, wide, 1, &deadline);

	if (!err && mask_and_size && copy_from_user(mask, mask_and_size, sizeof(mask)))
		err = -EFAULT;
	if (!err)
		err = borrow_mask((const u64 *)mask[0], mask[1]);
	return err ? err : do_select(n, in, out, except, deadline);
}

long sys_pselect6(int n, u64 *in, u64 *out, u64 *except, const void *timeout, const ulong *mask_and_size)
{
	return pselect6(n, in, out, except, timeout, false, mask_and_size);
}
long sys_pselect6_time64(int n, u64 *in, u64 *out, u64 *except, const void *timeout, const ulong *mask_and_size)
{
	return pselect6(n, in, out, except, timeout, true, mask_and_size);
}
