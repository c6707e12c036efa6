/* The calls that move a datagram, and those that ask a socket how it is doing; for i386 the one call that was all of them. */
#include "errno.h"
#include "fs.h"
#include "socket.h"

#define MAX_PIECES 1024

int copy_message(const struct message *m, u8 *data, size_t n, bool to_user)
{
	for (ulong i = 0; n && i < m->count; i++) {
		struct iovec v = m->single;
		if (m->user && get_user(v, &m->user[i]))
			return -EFAULT;
		size_t k = min(n, v.len);
		if (to_user ? copy_to_user(v.base, data, k) : copy_from_user(data, v.base, k))
			return -EFAULT;
		data += k;
		n -= k;
	}
	/* Pieces that shrink while they are read: nobody's loss but the user's, whose bytes are then zeroes. */
	if (!to_user)
		memset(data, 0, n);
	return 0;
}

long sys_sendto(int fd, void *buf, size_t n, u32 flags, const void *to, u32 size)
{
	int err;
	struct file *f;
	struct message m = { .single = { buf, n }, .count = 1, .size = n, .addressed = to };

	(void)flags;
	if (!sock_get(fd, &f, &err) || (to && (err = read_address(to, size, &m.address))))
		return err;
	return socket_send(f, &m);
}

long sys_recvfrom(int fd, void *buf, size_t n, u32 flags, void *from, u32 *size)
{
	int err;
	struct file *f;
	struct message m = { .single = { buf, n }, .count = 1, .size = n };

	if (!sock_get(fd, &f, &err))
		return err;
	long r = socket_receive(f, &m, flags);
	return r >= 0 && m.addressed && (err = write_address(m.address, from, size)) ? err : r;
}

struct msghdr {
	void *name;
	u32 name_size;
	const struct iovec *pieces;
	size_t count;
	void *control;
	size_t control_size;
	u32 flags;
};

static int read_header(const struct msghdr *user, struct msghdr *h, struct message *m)
{
	if (copy_from_user(h, user, sizeof(*h)))
		return -EFAULT;
	if (h->count > MAX_PIECES)
		return -EMSGSIZE;
	*m = (struct message){ .user = h->pieces, .count = h->count };
	for (ulong i = 0; i < h->count; i++) {
		struct iovec v;
		if (get_user(v, &h->pieces[i]))
			return -EFAULT;
		if (v.len > 0x7fffffff - m->size)
			return -EINVAL;
		m->size += v.len;
	}
	return 0;
}

long sys_sendmsg(int fd, const struct msghdr *user, u32 flags)
{
	int err;
	struct file *f;
	struct msghdr h;
	struct message m;

	(void)flags;
	if (!sock_get(fd, &f, &err) || (err = read_header(user, &h, &m)))
		return err;
	m.addressed = h.name;
	if (h.name && (err = read_address(h.name, h.name_size, &m.address)))
		return err;
	return socket_send(f, &m);
}

long sys_recvmsg(int fd, struct msghdr *user, u32 flags)
{
	int err;
	struct file *f;
	struct msghdr h;
	struct message m;

	if (!sock_get(fd, &f, &err) || (err = read_header(user, &h, &m)))
		return err;
	long r = socket_receive(f, &m, flags);
	if (r < 0)
		return r;
	if (m.addressed && (err = write_address(m.address, h.name, &user->name_size)))
		return err;
	if (put_user((size_t)0, &user->control_size) || put_user((u32)(m.truncated ? MSG_TRUNC : 0), &user->flags))
		return -EFAULT;
	return r;
}

/* ---- Names ---- */

long sys_getsockname(int fd, void *user, u32 *size)
{
	int err;
	struct sock *s = sock_get(fd, NULL, &err);
	return s ? write_address(s->local, user, size) : err;
}

long sys_getpeername(int fd, void *user, u32 *size)
{
	int err;
	struct sock *s = sock_get(fd, NULL, &err);
	return !s ? err : s->remote.address ? write_address(s->remote, user, size) : -ENOTCONN;
}

long sys_shutdown(int fd, int how)
{
	int err;
	struct sock *s = sock_get(fd, NULL, &err);

	if (!s)
		return err;
	if ((u32)how > 2)
		return -EINVAL;
	if (!s->remote.address)
		return -ENOTCONN;
	if (how != 1) {
		s->shut = true;
		wake_all(&s->wait);
		poll_wake();
	}
	return 0;
}

/* No streams, so nothing to listen for; and no pairs without AF_UNIX. */
long sys_no_stream(int fd)
{
	int err;
	return sock_get(fd, NULL, &err) ? -EOPNOTSUPP : err;
}
long sys_socketpair(int family) { return family == AF_INET ? -EOPNOTSUPP : -EAFNOSUPPORT; }

/* ---- Options ---- */

enum { LEVEL_IP = 0, LEVEL_SOCKET = 1, IP_TTL = 2 };
enum { SO_REUSEADDR = 2, SO_TYPE = 3, SO_ERROR = 4, SO_BROADCAST = 6, SO_SNDBUF = 7, SO_RCVBUF = 8, SO_RCVTIMEO = 20,
       SO_SNDTIMEO = 21, SO_RCVTIMEO64 = 66, SO_SNDTIMEO64 = 67 };

/* A struct timeval of longs, or (on i386, for programs that will see 2038) of 64 bits. */
static int read_timeval(const void *user, u32 size, bool wide, u64 *ns)
{
	s64 v[2];
	long narrow[2];

	if (size < (wide ? sizeof(v) : sizeof(narrow)))
		return -EINVAL;
	if (copy_from_user(wide ? (void *)v : narrow, user, wide ? sizeof(v) : sizeof(narrow)))
		return -EFAULT;
	if (!wide)
		v[0] = narrow[0], v[1] = narrow[1];
	if (v[1] < 0 || v[1] >= 1000000)
		return -EDOM;
	*ns = v[0] < 0 ? 1 : (u64)min(v[0], 1000000000ll) * NSEC_PER_SEC + v[1] * 1000;
	return 0;
}

long sys_setsockopt(int fd, int level, int option, const void *user, u32 size)
{
	int err, v = 0;
	struct sock *s = sock_get(fd, NULL, &err);

	if (!s)
		return err;
	if (level == LEVEL_SOCKET && (option == SO_RCVTIMEO || option == SO_RCVTIMEO64))
		return read_timeval(user, size, option == SO_RCVTIMEO64, &s->receive_timeout);
	if (level == LEVEL_SOCKET && (option == SO_SNDTIMEO || option == SO_SNDTIMEO64))
		return 0; /* sending does not wait */
	if (size < sizeof(v))
		return -EINVAL;
	if (get_user(v, (const int *)user))
		return -EFAULT;
	if (level == LEVEL_IP && option == IP_TTL) {
		if (v != -1 && (v < 1 || v > 255))
			return -EINVAL;
		s->ttl = v == -1 ? 0 : v;
		return 0;
	}
	if (level != LEVEL_SOCKET)
		return -ENOPROTOOPT;
	switch (option) {
	case SO_REUSEADDR:
		s->reuse = v;
		return 0;
	case SO_BROADCAST:
		s->broadcast = v;
		return 0;
	case SO_SNDBUF:
	case SO_RCVBUF:
		return 0; /* a wish */
	}
	return -ENOPROTOOPT;
}

long sys_getsockopt(int fd, int level, int option, void *user, u32 *user_size)
{
	int err, v;
	u32 size;
	struct sock *s = sock_get(fd, NULL, &err);

	if (!s)
		return err;
	if (get_user(size, user_size))
		return -EFAULT;
	if (level == LEVEL_IP && option == IP_TTL) {
		v = s->ttl ? s->ttl : IPV4_TTL;
	} else if (level != LEVEL_SOCKET) {
		return -ENOPROTOOPT;
	} else if (option == SO_RCVTIMEO) {
		long timeval[2] = { s->receive_timeout / NSEC_PER_SEC, s->receive_timeout % NSEC_PER_SEC / 1000 };
		size = min(size, (u32)sizeof(timeval));
		return copy_to_user(user, timeval, size) ? -EFAULT : put_user(size, user_size);
	} else {
		switch (option) {
		case SO_TYPE:
			v = s->kind == SOCK_RAW_ICMP ? TYPE_RAW : TYPE_DGRAM;
			break;
		case SO_ERROR:
			v = __atomic_exchange_n(&s->error, 0, __ATOMIC_RELAXED);
			break;
		case SO_REUSEADDR:
			v = s->reuse;
			break;
		case SO_BROADCAST:
			v = s->broadcast;
			break;
		case SO_SNDBUF:
		case SO_RCVBUF:
			v = SOCK_QUEUE * NETBUF_ROOM;
			break;
		default:
			return -ENOPROTOOPT;
		}
	}
	size = min(size, (u32)sizeof(v));
	return copy_to_user(user, &v, size) ? -EFAULT : put_user(size, user_size);
}
