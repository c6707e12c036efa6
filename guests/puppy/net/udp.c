/* UDP (RFC 768). */
#include "net.h"

/* The buffer starts with IP's header. */
void udp_input(struct netdev *dev, struct packet p, struct netbuf *nb)
{
	u32 header = ipv4_header_size((void *)nb->data);
	struct udp *u = (void *)(nb->data + header);

	if (nb->len < header + sizeof(*u))
		goto drop;
	u32 length = get16(u->length);
	if (length < sizeof(*u) || length > nb->len - header)
		goto drop;
	/* A checksum of 0: the sender has made none. */
	if (get16(u->checksum) &&
	    checksum_end(checksum_pseudo(p.from, p.to, PROTOCOL_UDP, length) + checksum_add(0, u, length)))
		goto drop;
	struct endpoint from = { p.from, get16(u->from) }, to = { p.to, get16(u->to) };
	nb->len = header + length;
	netbuf_pull(nb, header + sizeof(*u));
	if (sock_deliver(SOCK_UDP, from, to, nb))
		return;
	netbuf_push(nb, header + sizeof(*u));
	if (!netdev_broadcast(dev, p.to))
		icmp_unreachable(nb, UNREACHABLE_PORT);
drop:
	netbuf_free(nb);
}

int udp_output(struct packet p, u16 from_port, u16 to_port, struct netbuf *nb)
{
	struct udp *u = netbuf_push(nb, sizeof(*u));

	p.protocol = PROTOCOL_UDP;
	if (!p.from)
		p.from = ip_source(p.to);
	*u = (struct udp){ to16(from_port), to16(to_port), to16(nb->len), to16(0) };
	u16 sum = checksum_end(checksum_pseudo(p.from, p.to, PROTOCOL_UDP, nb->len) + checksum_add(0, u, nb->len));
	/* 0 means none, and has a twin that means the same number. */
	u->checksum = to16(sum ? sum : 0xffff);
	return ip_output(p, nb);
}
