/* ICMP (RFC 792): echoes are answered, errors find the socket that caused them, and the senders of what we cannot deliver
 * hear of it. An error is never answered with an error, nor is what was meant for everyone (RFC 1122, 3.2.2). */
#include "errno.h"
#include "net.h"

/* Errors that we may still send. One more every 10 ms, at most BURST in store: a flood is not answered with a flood. */
#define BURST 32
#define PERIOD_NS (NSEC_PER_SEC / 100)
static spinlock_t limit_lock;
static u64 limit_since;

static bool may_complain(void)
{
	ulong flags = spin_lock_irqsave(&limit_lock);
	u64 now = now_ns() + BURST * PERIOD_NS; /* the store is full at the start, when the clock is at 0 */

	if (now - limit_since > BURST * PERIOD_NS)
		limit_since = now - BURST * PERIOD_NS;
	bool ok = now - limit_since >= PERIOD_NS;
	if (ok)
		limit_since += PERIOD_NS;
	spin_unlock_irqrestore(&limit_lock, flags);
	return ok;
}

static bool is_error(u8 type)
{
	return type == ICMP_UNREACHABLE || type == ICMP_SOURCE_QUENCH || type == ICMP_REDIRECT || type == ICMP_TIME_EXCEEDED ||
	       type == ICMP_PARAMETER;
}

void icmp_unreachable(struct netbuf *nb, u8 code)
{
	struct ipv4 *ip = (void *)nb->data;
	u32 header = ipv4_header_size(ip), quoted = min(nb->len, header + ICMP_QUOTED);
	const struct icmp *inner = (void *)(nb->data + header);

	if (ip->protocol == PROTOCOL_ICMP && (nb->len < header + sizeof(*inner) || is_error(inner->type)))
		return;
	u32 from = get32(ip->to), to = get32(ip->from);
	/* Of a packet that is still here, having found no neighbour, we are the sender and the one who complains. */
	if (netdev_owner(to))
		from = to;
	if (!to || !may_complain())
		return;
	struct netbuf *error = netbuf_new(sizeof(struct icmp) + quoted);
	if (!error)
		return;
	error->len = sizeof(struct icmp) + quoted;
	struct icmp *m = (void *)error->data;
	*m = (struct icmp){ .type = ICMP_UNREACHABLE, .code = code };
	memcpy(m + 1, ip, quoted);
	m->checksum = to16(checksum_end(checksum_add(0, m, error->len)));
	ip_output((struct packet){ from, to, PROTOCOL_ICMP, 0 }, error);
}

/* ---- Receiving; the buffer starts with IP's header ---- */

static void echo(struct netdev *dev, struct packet p, struct netbuf *nb)
{
	struct icmp *m = (void *)nb->data;

	if (netdev_broadcast(dev, p.to)) {
		netbuf_free(nb);
		return;
	}
	m->type = ICMP_ECHO_REPLY;
	m->checksum = to16(0);
	m->checksum = to16(checksum_end(checksum_add(0, m, nb->len)));
	ip_output((struct packet){ p.to, p.from, PROTOCOL_ICMP, 0 }, nb);
}

/* Of the packet that went wrong we are shown the beginning. It names the socket that sent it. */
static void error(struct icmp *m, const u8 *quoted, u32 size)
{
	static const u8 errors[] = { ENETUNREACH, EHOSTUNREACH, ENOPROTOOPT, ECONNREFUSED, EMSGSIZE };
	const struct ipv4 *ip = (const void *)quoted;

	if (size < sizeof(*ip) || ip->version_words >> 4 != 4)
		return;
	u32 header = ipv4_header_size(ip);
	if (header < sizeof(*ip) || size < header + sizeof(struct udp) || ip->protocol != PROTOCOL_UDP)
		return;
	const struct udp *u = (const void *)(quoted + header);
	int reason = m->type == ICMP_UNREACHABLE && m->code < ARRAY_SIZE(errors) ? errors[m->code] : EHOSTUNREACH;
	sock_failed(SOCK_UDP, (struct endpoint){ get32(ip->from), get16(u->from) },
		    (struct endpoint){ get32(ip->to), get16(u->to) }, reason);
}

void icmp_input(struct netdev *dev, struct packet p, struct netbuf *nb)
{
	netbuf_pull(nb, ipv4_header_size((void *)nb->data));
	struct icmp *m = (void *)nb->data;

	if (nb->len < sizeof(*m) || checksum_end(checksum_add(0, m, nb->len)))
		goto drop;
	switch (m->type) {
	case ICMP_ECHO:
		echo(dev, p, nb);
		return;
	case ICMP_ECHO_REPLY:
		if (sock_deliver(SOCK_ECHO, (struct endpoint){ p.from, 0 }, (struct endpoint){ p.to, get16(m->id) }, nb))
			return;
		break;
	case ICMP_UNREACHABLE:
	case ICMP_TIME_EXCEEDED:
		error(m, nb->data + sizeof(*m), nb->len - sizeof(*m));
		break;
	}
drop:
	netbuf_free(nb);
}
