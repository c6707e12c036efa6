/*
 * futex: sleeping for a lock that lives in user memory. A waiter is on the list before it looks at the word, and a waker
 * looks at the list after it has changed the word, so one of them sees the other.
 */
#include "errno.h"
#include "fs.h"
#include "proc.h"

/* What a word is known by: the file and offset where several address spaces share it, else the space and address. */
struct key {
	const void *space;
	u64 offset;
};

struct waiter {
	struct waiter *next;
	struct key key;
	struct waitq wait;
	bool woken;
};

#define BUCKETS 32
static struct bucket {
	spinlock_t lock;
	struct waiter *first;
} buckets[BUCKETS];

static int make_key(const int *address, struct key *key)
{
	ulong va = (ulong)address;
	struct mm *mm = current->mm;

	if (va % sizeof(int))
		return -EINVAL;
	if (!access_ok(address, sizeof(int)))
		return -EFAULT;
	mutex_lock(&mm->lock);
	struct vma *v = vma_find(mm, va);
	if (v && v->shared)
		*key = (struct key){ v->inode, v->offset + (va - v->start) };
	else
		*key = (struct key){ mm, va };
	mutex_unlock(&mm->lock);
	return v ? 0 : -EFAULT;
}

static struct bucket *bucket_of(const struct key *k) { return &buckets[((ulong)k->space >> 6 ^ (ulong)k->offset >> 2) % BUCKETS]; }

static void take_off(struct bucket *b, struct waiter *w)
{
	for (struct waiter **p = &b->first; *p; p = &(*p)->next)
		if (*p == w) {
			*p = w->next;
			return;
		}
}

static long wait(const int *address, int expected, u64 deadline)
{
	struct waiter self = { .woken = false };
	struct timeout timeout;
	int now, err = make_key(address, &self.key);

	if (err)
		return err;
	struct bucket *b = bucket_of(&self.key);
	ulong flags = spin_lock_irqsave(&b->lock);
	struct waiter **last = &b->first;
	while (*last)
		last = &(*last)->next; /* first come, first served */
	*last = &self;
	spin_unlock_irqrestore(&b->lock, flags);

	timeout_start(&timeout, &self.wait, deadline);
	err = get_user(now, address);
	if (!err)
		err = now != expected ? -EAGAIN
				      : wait_event(&self.wait, READ_ONCE(self.woken) || READ_ONCE(timeout.expired));
	timeout_end(&timeout);
	/* Under the lock, so that nobody is still waking us when our stack goes on to other things. */
	flags = spin_lock_irqsave(&b->lock);
	if (!self.woken)
		take_off(b, &self);
	spin_unlock_irqrestore(&b->lock, flags);
	return self.woken ? 0 : err ? err : -ETIMEDOUT;
}

long do_futex_wake(int *address, u32 count)
{
	struct key key;
	u32 woken = 0;
	int err = make_key(address, &key);

	if (err)
		return err;
	struct bucket *b = bucket_of(&key);
	ulong flags = spin_lock_irqsave(&b->lock);
	for (struct waiter **p = &b->first; *p && woken < count;) {
		struct waiter *w = *p;
		if (w->key.space != key.space || w->key.offset != key.offset) {
			p = &w->next;
			continue;
		}
		*p = w->next;
		woken++;
		WRITE_ONCE(w->woken, true);
		wake_all(&w->wait);
	}
	spin_unlock_irqrestore(&b->lock, flags);
	return woken;
}

enum { FUTEX_WAIT = 0, FUTEX_WAKE = 1, FUTEX_PRIVATE = 128, FUTEX_REALTIME = 256 };

static long futex(int *address, u32 op, u32 value, const void *timeout, u64 deadline)
{
	switch (op & ~FUTEX_PRIVATE) {
	case FUTEX_WAIT:
		return wait(address, value, timeout ? max(deadline, 1ull) : 0);
	case FUTEX_WAKE:
		return do_futex_wake(address, value);
	}
	return -ENOSYS;
}

/* FUTEX_WAIT's timeout is relative. */
long sys_futex(int *address, u32 op, u32 value, const long *timeout)
{
	long t[2] = { 0, 0 };

	if (timeout && (op & ~FUTEX_PRIVATE) == FUTEX_WAIT) {
		if (copy_from_user(t, timeout, sizeof(t)))
			return -EFAULT;
		if (t[0] < 0 || t[1] < 0 || (ulong)t[1] >= NSEC_PER_SEC)
			return -EINVAL;
	}
	return futex(address, op, value, timeout, now_ns() + min(t[0], 1000000000l) * NSEC_PER_SEC + t[1]);
}

/* i386's later call, with 64-bit seconds. */
long sys_futex_time64(int *address, u32 op, u32 value, const s64 *timeout)
{
	s64 t[2] = { 0, 0 };

	if (timeout && (op & ~FUTEX_PRIVATE) == FUTEX_WAIT) {
		if (copy_from_user(t, timeout, sizeof(t)))
			return -EFAULT;
		if (t[0] < 0 || t[1] < 0 || t[1] >= (s64)NSEC_PER_SEC)
			return -EINVAL;
	}
	return futex(address, op, value, timeout, now_ns() + min(t[0], (s64)1000000000) * NSEC_PER_SEC + t[1]);
}
