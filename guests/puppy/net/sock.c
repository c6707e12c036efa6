/* Sockets as packets see them: which one is meant, and the queue in which it finds them. */
#include "errno.h"
#include "fs.h"
#include "net.h"

#define EPHEMERAL_FIRST 32768
#define EPHEMERAL_LAST 60999

spinlock_t sockets_lock;
struct sock *sockets;

/* The list is short: a hash would be longer than the walks it saves. */
static void link(struct sock *s)
{
	s->next = sockets;
	sockets = s;
}

void sock_add(struct sock *s)
{
	ulong flags = spin_lock_irqsave(&sockets_lock);

	link(s);
	spin_unlock_irqrestore(&sockets_lock, flags);
}

void sock_remove(struct sock *s)
{
	ulong flags = spin_lock_irqsave(&sockets_lock);

	for (struct sock **p = &sockets; *p; p = &(*p)->next)
		if (*p == s) {
			*p = s->next;
			break;
		}
	spin_unlock_irqrestore(&sockets_lock, flags);
	/* Nobody finds it any more, so nobody adds to its queue. */
	for (struct netbuf *nb; (nb = sock_take(s, false));)
		netbuf_free(nb);
}

static bool overlap(u32 a, u32 b) { return !a || !b || a == b; }

static bool taken(struct sock *self, struct endpoint e)
{
	for (struct sock *s = sockets; s; s = s->next)
		if (s != self && s->bound && s->kind == self->kind && s->local.port == e.port &&
		    overlap(s->local.address, e.address) && !(s->reuse && self->reuse))
			return true;
	return false;
}

int sock_bind(struct sock *s, struct endpoint e)
{
	static u16 last = EPHEMERAL_FIRST - 1;
	ulong flags = spin_lock_irqsave(&sockets_lock);
	bool any = !e.port, free = false;

	for (u32 n = 0; any && !free && n <= EPHEMERAL_LAST - EPHEMERAL_FIRST; n++) {
		e.port = last = last < EPHEMERAL_LAST ? last + 1 : EPHEMERAL_FIRST;
		free = !taken(s, e);
	}
	if (!any)
		free = !taken(s, e);
	if (free) {
		s->local = e;
		if (!s->bound)
			link(s);
		s->bound = true;
	}
	spin_unlock_irqrestore(&sockets_lock, flags);
	return free ? 0 : -EADDRINUSE;
}

/* ---- Arrivals ---- */

/* How well it fits: 0 not at all; a socket that is particular goes before one that takes anything. */
static int fit(const struct sock *s, enum sock_kind kind, struct endpoint from, struct endpoint to)
{
	if (s->kind != kind || s->local.port != to.port || s->shut || (s->local.address && s->local.address != to.address))
		return 0;
	bool echo = kind == SOCK_ECHO; /* its other end has no port */
	if (s->remote.address && (s->remote.address != from.address || (!echo && s->remote.port != from.port)))
		return 0;
	return 1 + !!s->local.address + 2 * !!s->remote.address;
}

/* Under the lock. */
static void enqueue(struct sock *s, struct endpoint from, struct netbuf *nb)
{
	nb->next = NULL;
	nb->from_address = from.address;
	nb->from_port = from.port;
	if (s->last)
		s->last->next = nb;
	else
		s->first = nb;
	s->last = nb;
	s->queued++;
	wake_all(&s->wait);
	poll_wake();
}

bool sock_deliver(enum sock_kind kind, struct endpoint from, struct endpoint to, struct netbuf *nb)
{
	struct sock *best = NULL;
	int best_fit = 0;
	bool full = false;
	ulong flags = spin_lock_irqsave(&sockets_lock);

	for (struct sock *s = sockets; s; s = s->next) {
		int f = fit(s, kind, from, to);
		if (f > best_fit) {
			best_fit = f;
			best = s;
		}
	}
	if (best) {
		full = best->queued >= SOCK_QUEUE;
		if (!full)
			enqueue(best, from, nb);
	}
	spin_unlock_irqrestore(&sockets_lock, flags);
	if (full)
		netbuf_free(nb);
	return best;
}

void sock_deliver_raw(struct endpoint from, struct endpoint to, const struct netbuf *nb)
{
	struct netbuf *copy;
	ulong flags = spin_lock_irqsave(&sockets_lock);

	for (struct sock *s = sockets; s; s = s->next)
		if (s->kind == SOCK_RAW_ICMP && !s->shut && overlap(s->local.address, to.address) &&
		    overlap(s->remote.address, from.address) && s->queued < SOCK_QUEUE && (copy = netbuf_copy(nb)))
			enqueue(s, from, copy);
	spin_unlock_irqrestore(&sockets_lock, flags);
}

void sock_failed(enum sock_kind kind, struct endpoint local, struct endpoint remote, int error)
{
	ulong flags = spin_lock_irqsave(&sockets_lock);

	/* One that has no fixed partner would not know whom this is about (RFC 1122, 4.1.3.3). */
	for (struct sock *s = sockets; s; s = s->next)
		if (s->remote.address && fit(s, kind, remote, local)) {
			s->error = error;
			wake_all(&s->wait);
			poll_wake();
		}
	spin_unlock_irqrestore(&sockets_lock, flags);
}

struct netbuf *sock_take(struct sock *s, bool peek)
{
	ulong flags = spin_lock_irqsave(&sockets_lock);
	struct netbuf *nb = s->first;

	if (nb && !peek) {
		s->first = nb->next;
		if (!s->first)
			s->last = NULL;
		s->queued--;
	} else if (nb) {
		nb = netbuf_copy(nb);
		if (nb) {
			nb->from_address = s->first->from_address;
			nb->from_port = s->first->from_port;
		}
	}
	spin_unlock_irqrestore(&sockets_lock, flags);
	return nb;
}
