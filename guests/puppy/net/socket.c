/*
 * Sockets as programs see them: datagrams of IPv4, by UDP, as echoes (SOCK_DGRAM with IPPROTO_ICMP) or raw (SOCK_RAW). The
 * system calls' numbers and structures are Linux's. Sending never waits: what no device takes is lost, as datagrams may be.
 */
#include "socket.h"
#include "errno.h"
#include "fs.h"

struct sock *sock_get(int fd, struct file **file, int *err)
{
	struct file *f = fd_get(fd);

	*err = !f ? -EBADF : f->fops != &socket_fops ? -ENOTSOCK : 0;
	if (*err)
		return NULL;
	if (file)
		*file = f;
	return f->priv;
}

static void release(struct file *f)
{
	struct sock *s = f->priv;

	sock_remove(s);
	kfree(s);
}

long sys_socket(int family, int type, int protocol)
{
	u32 flags = type & (O_NONBLOCK | O_CLOEXEC);
	enum sock_kind kind;

	type &= ~(O_NONBLOCK | O_CLOEXEC);
	if (family != AF_INET)
		return -EAFNOSUPPORT;
	if (type == TYPE_DGRAM && (!protocol || protocol == PROTOCOL_UDP))
		kind = SOCK_UDP;
	else if (type == TYPE_DGRAM && protocol == PROTOCOL_ICMP)
		kind = SOCK_ECHO;
	else if (type == TYPE_RAW && protocol == PROTOCOL_ICMP)
		kind = SOCK_RAW_ICMP;
	else
		return type == TYPE_DGRAM || type == TYPE_RAW || type == TYPE_STREAM ? -EPROTONOSUPPORT : -ESOCKTNOSUPPORT;
	struct sock *s = kzalloc(sizeof(*s));
	struct file *f = file_new(NULL, &socket_fops, O_RDWR | (flags & O_NONBLOCK));
	if (!s || !f) {
		kfree(s);
		kfree(f);
		return -ENOMEM;
	}
	s->kind = kind;
	f->priv = s;
	if (kind == SOCK_RAW_ICMP)
		sock_add(s);
	int fd = fd_install(f, flags & O_CLOEXEC);
	if (fd < 0)
		file_put(f);
	return fd;
}

/* ---- Addresses ---- */

int read_address(const void *user, u32 size, struct endpoint *e)
{
	struct sockaddr_in a;

	if (size < sizeof(a))
		return -EINVAL;
	if (copy_from_user(&a, user, sizeof(a)))
		return -EFAULT;
	if (a.family != AF_INET)
		return -EAFNOSUPPORT;
	*e = (struct endpoint){ get32(a.address), get16(a.port) };
	return 0;
}

int write_address(struct endpoint e, void *user, u32 *user_size)
{
	struct sockaddr_in a = { AF_INET, to16(e.port), to32(e.address), { 0 } };
	u32 size;

	if (!user)
		return 0;
	if (get_user(size, user_size))
		return -EFAULT;
	if ((s32)size < 0)
		return -EINVAL;
	if (copy_to_user(user, &a, min(size, (u32)sizeof(a))))
		return -EFAULT;
	return put_user((u32)sizeof(a), user_size);
}

long sys_bind(int fd, const void *user, u32 size)
{
	int err;
	struct sock *s = sock_get(fd, NULL, &err);
	struct endpoint e = { 0 };

	if (!s || (err = read_address(user, size, &e)))
		return err;
	if (e.address && e.address >> 24 != 127 && e.address != 0xffffffff && !netdev_owner(e.address))
		return -EADDRNOTAVAIL;
	if (s->kind == SOCK_RAW_ICMP) {
		s->local.address = e.address;
		return 0;
	}
	return s->bound ? -EINVAL : sock_bind(s, e);
}

long sys_connect(int fd, const void *user, u32 size)
{
	int err;
	u16 family;
	struct sock *s = sock_get(fd, NULL, &err);
	struct endpoint to = { 0 };

	if (!s)
		return err;
	if (size < sizeof(family) || get_user(family, (const u16 *)user))
		return size < sizeof(family) ? -EINVAL : -EFAULT;
	if (family != AF_UNSPEC) {
		err = read_address(user, size, &to);
		if (err)
			return err;
		/* Address 0 is this machine. */
		if (!to.address)
			to.address = loopback.address;
		u32 from = ip_source(to.address);
		if (!from)
			return -ENETUNREACH;
		if (to.address == 0xffffffff && !s->broadcast)
			return -EACCES;
		if (s->kind != SOCK_RAW_ICMP && !s->bound && (err = sock_bind(s, (struct endpoint){ from, 0 })))
			return err;
	}
	ulong flags = spin_lock_irqsave(&sockets_lock);
	s->remote = to;
	s->error = 0;
	spin_unlock_irqrestore(&sockets_lock, flags);
	return 0;
}

/* ---- Sending ---- */

static int transmit(struct sock *s, struct endpoint to, struct netbuf *nb)
{
	struct packet p = { s->local.address, to.address, PROTOCOL_ICMP, s->ttl };

	/* A socket may be bound to where broadcasts arrive, but they come from nowhere. */
	if (p.from && !netdev_owner(p.from) && p.from >> 24 != 127)
		p.from = 0;
	if (s->kind == SOCK_UDP)
		return udp_output(p, s->local.port, to.port, nb);
	if (s->kind == SOCK_ECHO) {
		/* Only questions, and only with the socket's own id: the rest is the kernel's business. */
		struct icmp *m = (void *)nb->data;
		if (nb->len < sizeof(*m) || m->type != ICMP_ECHO || m->code) {
			netbuf_free(nb);
			return -EINVAL;
		}
		m->id = to16(s->local.port);
		m->checksum = to16(0);
		m->checksum = to16(checksum_end(checksum_add(0, m, nb->len)));
	}
	return ip_output(p, nb);
}

long socket_send(struct file *f, struct message *m)
{
	struct sock *s = f->priv;
	struct endpoint to = m->address.address || m->addressed ? m->address : s->remote;
	u32 next_hop, headers = sizeof(struct ipv4) + (s->kind == SOCK_UDP ? sizeof(struct udp) : 0);
	int err = __atomic_exchange_n(&s->error, 0, __ATOMIC_RELAXED);

	if (err)
		return -err;
	if (!m->addressed && !s->remote.address)
		return -EDESTADDRREQ;
	if (!to.address)
		to.address = loopback.address;
	if (s->kind == SOCK_UDP && !to.port)
		return -EINVAL;
	struct netdev *dev = ip_route(to.address, &next_hop);
	if (!dev)
		return -ENETUNREACH;
	if (netdev_broadcast(dev, to.address) && !s->broadcast)
		return -EACCES;
	if (m->size + headers > dev->mtu)
		return -EMSGSIZE;
	if (s->kind != SOCK_RAW_ICMP && !s->bound && (err = sock_bind(s, (struct endpoint){ 0 })))
		return err;
	struct netbuf *nb = netbuf_new(m->size);
	if (!nb)
		return -ENOBUFS;
	nb->len = m->size;
	err = copy_message(m, nb->data, m->size, false);
	if (err) {
		netbuf_free(nb);
		return err;
	}
	err = transmit(s, to, nb);
	return err ? err : (long)m->size;
}

/* ---- Receiving ---- */

static struct netbuf *wait_for_datagram(struct file *f, u32 flags, int *err)
{
	struct sock *s = f->priv;
	struct timeout timeout;
	struct netbuf *nb;

	*err = 0;
	timeout_start(&timeout, &s->wait, s->receive_timeout ? now_ns() + s->receive_timeout : 0);
	/* Another process with the same socket may be quicker; then the waiting begins again. */
	while (!(nb = sock_take(s, flags & MSG_PEEK))) {
		if ((*err = -__atomic_exchange_n(&s->error, 0, __ATOMIC_RELAXED)) || s->shut)
			break;
		if ((f->flags & O_NONBLOCK) || (flags & MSG_DONTWAIT) || READ_ONCE(timeout.expired)) {
			*err = -EAGAIN;
			break;
		}
		*err = wait_event(&s->wait, READ_ONCE(s->first) || READ_ONCE(s->error) || READ_ONCE(s->shut) ||
						    READ_ONCE(timeout.expired));
		if (*err)
			break;
	}
	timeout_end(&timeout);
	return nb;
}

long socket_receive(struct file *f, struct message *m, u32 flags)
{
	int err;
	struct netbuf *nb = wait_for_datagram(f, flags, &err);

	if (!nb)
		return err; /* 0: shut down */
	u32 n = min((size_t)nb->len, m->size);
	err = copy_message(m, nb->data, n, true);
	m->address = (struct endpoint){ nb->from_address, nb->from_port };
	m->addressed = true;
	m->truncated = n < nb->len;
	long size = (flags & MSG_TRUNC) ? nb->len : n;
	netbuf_free(nb);
	return err ? err : size;
}

/* ---- As a file ---- */

static long socket_read(struct file *f, void *buf, size_t n)
{
	struct message m = { .single = { buf, n }, .count = 1, .size = n };
	return socket_receive(f, &m, 0);
}

static long socket_write(struct file *f, const void *buf, size_t n)
{
	struct message m = { .single = { (void *)buf, n }, .count = 1, .size = n };
	return socket_send(f, &m);
}

static u32 socket_poll(struct file *f)
{
	struct sock *s = f->priv;

	return POLLOUT | POLLWRNORM | (READ_ONCE(s->first) || s->shut ? POLLIN | POLLRDNORM : 0) |
	       (s->shut ? POLLRDHUP : 0) | (READ_ONCE(s->error) ? POLLERR : 0);
}

const struct file_ops socket_fops = { .read = socket_read, .write = socket_write, .ioctl = socket_ioctl,
				      .poll = socket_poll, .release = release };
