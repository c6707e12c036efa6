/*
 * IPv4 (RFC 791, RFC 1122): packets for us go to ICMP, UDP and raw sockets, packets from us to the device that leads to
 * their destination. We forward nothing, and neither take packets apart nor put them together: what is larger than the
 * device's MTU is refused, a fragment is dropped.
 */
#include "errno.h"
#include "net.h"

u32 ip_gateway;
static u16 last_id;

static bool is_loopback(u32 address) { return address >> 24 == 127; }
static bool is_multicast(u32 address) { return address >> 28 == 14; }

/* ---- Receiving ---- */

/* May a packet on this device come from there? */
static bool source_plausible(struct netdev *dev, u32 from)
{
	if (dev->flags & IFF_LOOPBACK)
		return true;
	return !is_loopback(from) && !is_multicast(from) && from != 0xffffffff && !netdev_broadcast(dev, from) &&
	       !netdev_owner(from);
}

static bool for_us(struct netdev *dev, u32 to)
{
	if (is_loopback(to))
		return dev->flags & IFF_LOOPBACK;
	return netdev_broadcast(dev, to) || netdev_owner(to);
}

/* The header is all there, says nothing false and was not changed on the way; then the buffer ends where the packet does. */
static bool header_valid(struct netbuf *nb)
{
	struct ipv4 *ip = (void *)nb->data;

	if (nb->len < sizeof(*ip) || ip->version_words >> 4 != 4)
		return false;
	u32 header = ipv4_header_size(ip), length = get16(ip->length);
	if (header < sizeof(*ip) || length < header || nb->len < length || checksum_end(checksum_add(0, ip, header)))
		return false;
	nb->len = length; /* short frames are padded */
	return true;
}

void ip_input(struct netdev *dev, struct netbuf *nb)
{
	struct ipv4 *ip = (void *)nb->data;

	if (!header_valid(nb) || (get16(ip->fragment) & IPV4_FRAGMENT))
		goto drop;
	struct packet p = { get32(ip->from), get32(ip->to), ip->protocol, ip->ttl };
	if (!for_us(dev, p.to) || !source_plausible(dev, p.from))
		goto drop;
	switch (p.protocol) {
	case PROTOCOL_ICMP:
		sock_deliver_raw((struct endpoint){ p.from, 0 }, (struct endpoint){ p.to, 0 }, nb);
		icmp_input(dev, p, nb);
		return;
	case PROTOCOL_UDP:
		udp_input(dev, p, nb);
		return;
	}
	if (!netdev_broadcast(dev, p.to))
		icmp_unreachable(nb, UNREACHABLE_PROTOCOL);
drop:
	netbuf_free(nb);
}

/* ---- Sending ---- */

struct netdev *ip_route(u32 to, u32 *next_hop)
{
	*next_hop = to;
	if (is_loopback(to) || netdev_owner(to))
		return loopback.flags & IFF_UP ? &loopback : NULL;
	for (int pass = 0; pass < 2; pass++) {
		/* Who is no neighbour is reached through one. */
		if (pass)
			*next_hop = ip_gateway;
		for (struct netdev *dev = netdevs; dev && *next_hop; dev = dev->next) {
			if (!(dev->flags & IFF_UP) || !dev->address || (dev->flags & IFF_LOOPBACK))
				continue;
			if (!((*next_hop ^ dev->address) & dev->mask) || netdev_broadcast(dev, *next_hop))
				return dev;
		}
	}
	return NULL;
}

u32 ip_source(u32 to)
{
	u32 next_hop;
	struct netdev *dev = ip_route(to, &next_hop);

	/* To ourselves from ourselves. */
	return !dev ? 0 : dev == &loopback ? to : dev->address;
}

int ip_output(struct packet p, struct netbuf *nb)
{
	u32 next_hop, length = nb->len + sizeof(struct ipv4);
	struct netdev *dev = ip_route(p.to, &next_hop);

	if (!dev || length > dev->mtu || is_multicast(p.to)) {
		netbuf_free(nb);
		return dev && length > dev->mtu ? -EMSGSIZE : -ENETUNREACH;
	}
	struct ipv4 *ip = netbuf_push(nb, sizeof(*ip));
	*ip = (struct ipv4){
		.version_words = 0x40 | sizeof(*ip) / 4,
		.length = to16(length),
		.id = to16(__atomic_add_fetch(&last_id, 1, __ATOMIC_RELAXED)),
		.fragment = to16(IPV4_DONT_FRAGMENT),
		.ttl = p.ttl ? p.ttl : IPV4_TTL,
		.protocol = p.protocol,
		.from = to32(p.from ? p.from : ip_source(p.to)),
		.to = to32(p.to),
	};
	ip->checksum = to16(checksum_end(checksum_add(0, ip, sizeof(*ip))));
	if (dev == &loopback)
		dev->transmit(dev, nb);
	else
		arp_send(dev, next_hop, nb);
	return 0;
}
