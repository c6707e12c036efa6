/*
 * ARP (RFC 826): which Ethernet address a neighbour has. Packets for one that is not known yet wait in its entry while we
 * ask, three times, a second apart; then their senders hear that it cannot be reached. What is known is believed for a
 * minute. Answers are believed only from addresses of our own network, and only if somebody there is of interest: we
 * asked, or it asked us. (ARP knows no secrets: a hostile neighbour can always claim another's address. It cannot do
 * more than that.)
 */
#include "net.h"

#define ENTRIES 32
#define WAITING 4 /* packets for each neighbour */
#define TRIES 3
#define RETRY_NS NSEC_PER_SEC
#define LIFETIME_NS (60 * NSEC_PER_SEC)

enum { HARDWARE_ETHERNET = 1, REQUEST = 1, REPLY = 2 };
static const u8 everyone[MAC_SIZE] = { 0xff, 0xff, 0xff, 0xff, 0xff, 0xff }, nobody[MAC_SIZE];

struct neighbour {
	struct netdev *dev; /* NULL: the entry is free */
	u32 address;
	bool known;
	u8 mac[MAC_SIZE];
	u8 tries, waiting;
	u64 until; /* known: believed; else: the next question is due */
	struct netbuf *first;
};
static struct neighbour table[ENTRIES];
static spinlock_t lock;

static void retry(struct ktimer *t);
static struct ktimer retry_timer = { .fn = retry };

static void send_frame(struct netdev *dev, const u8 *to, u16 type, struct netbuf *nb)
{
	struct ethernet *e = netbuf_push(nb, sizeof(*e));

	memcpy(e->to, to, MAC_SIZE);
	memcpy(e->from, dev->mac, MAC_SIZE);
	e->type = to16(type);
	count(&dev->sent, 1);
	count(&dev->sent_bytes, nb->len);
	dev->transmit(dev, nb);
}

static void send_arp(struct netdev *dev, u16 operation, const u8 *target_mac, u32 target)
{
	struct netbuf *nb = netbuf_new(sizeof(struct arp));

	if (!nb)
		return;
	nb->len = sizeof(struct arp);
	struct arp *a = (void *)nb->data;
	a->hardware = to16(HARDWARE_ETHERNET);
	a->protocol = to16(ETHERTYPE_IPV4);
	a->hardware_size = MAC_SIZE;
	a->protocol_size = sizeof(be32);
	a->operation = to16(operation);
	memcpy(a->sender_mac, dev->mac, MAC_SIZE);
	a->sender = to32(dev->address);
	memcpy(a->target_mac, operation == REPLY ? target_mac : nobody, MAC_SIZE);
	a->target = to32(target);
	send_frame(dev, operation == REPLY ? target_mac : everyone, ETHERTYPE_ARP, nb);
}

void arp_announce(struct netdev *dev)
{
	if (dev->address && !(dev->flags & IFF_LOOPBACK))
		send_arp(dev, REQUEST, NULL, dev->address);
}

/* ---- The table; under the lock ---- */

static struct neighbour *find(struct netdev *dev, u32 address)
{
	for (int i = 0; i < ENTRIES; i++)
		if (table[i].dev == dev && table[i].address == address)
			return &table[i];
	return NULL;
}

/* Empties an entry; what waited in it is for the caller to deal with, without the lock. */
static struct netbuf *clear(struct neighbour *n)
{
	struct netbuf *waiting = n->first;

	memset(n, 0, sizeof(*n));
	return waiting;
}

/* A free entry, or the one that would be worth least soonest. */
static struct neighbour *claim(struct netdev *dev, u32 address, struct netbuf **evicted)
{
	struct neighbour *n = &table[0];

	for (int i = 0; i < ENTRIES && n->dev; i++)
		if (!table[i].dev || table[i].until < n->until)
			n = &table[i];
	*evicted = clear(n);
	n->dev = dev;
	n->address = address;
	return n;
}

static struct netbuf *learn(struct neighbour *n, const u8 *mac)
{
	struct netbuf *waiting = n->first;

	memcpy(n->mac, mac, MAC_SIZE);
	n->known = true;
	n->until = now_ns() + LIFETIME_NS;
	n->first = NULL;
	n->tries = n->waiting = 0;
	return waiting;
}

static void free_list(struct netbuf *list)
{
	while (list) {
		struct netbuf *next = list->next;
		netbuf_free(list);
		list = next;
	}
}

/* ---- Sending ---- */

void arp_send(struct netdev *dev, u32 next_hop, struct netbuf *nb)
{
	struct netbuf *evicted = NULL;
	bool ask = false;
	u8 mac[MAC_SIZE];
	u64 now = now_ns();

	if (netdev_broadcast(dev, next_hop))
		return send_frame(dev, everyone, ETHERTYPE_IPV4, nb);
	ulong flags = spin_lock_irqsave(&lock);
	struct neighbour *n = find(dev, next_hop);
	if (n && n->known && now < n->until) {
		memcpy(mac, n->mac, MAC_SIZE);
		spin_unlock_irqrestore(&lock, flags);
		return send_frame(dev, mac, ETHERTYPE_IPV4, nb);
	}
	if (!n || n->known) {
		n = n ? n : claim(dev, next_hop, &evicted);
		n->known = false;
		n->tries = 1;
		n->until = now + RETRY_NS;
		ask = true;
	}
	struct netbuf **end = &n->first;
	while (*end)
		end = &(*end)->next;
	*end = nb;
	nb->next = NULL;
	if (++n->waiting > WAITING) {
		/* The oldest goes: it is the one most likely to have been sent again. */
		struct netbuf *oldest = n->first;
		n->first = oldest->next;
		n->waiting--;
		oldest->next = evicted;
		evicted = oldest;
	}
	spin_unlock_irqrestore(&lock, flags);
	free_list(evicted);
	if (ask) {
		send_arp(dev, REQUEST, NULL, next_hop);
		timer_start(&retry_timer, now + RETRY_NS);
	}
}

/* Once a second while questions are open. One entry at a time: nothing is sent under the lock. */
static bool retry_one(u64 now)
{
	struct netbuf *lost = NULL;
	struct netdev *dev = NULL;
	u32 address = 0;
	bool gave_up = false;
	ulong flags = spin_lock_irqsave(&lock);

	for (struct neighbour *n = table; n < table + ENTRIES && !dev; n++) {
		if (!n->dev || n->known || n->until > now)
			continue;
		dev = n->dev;
		address = n->address;
		gave_up = n->tries >= TRIES;
		if (gave_up) {
			lost = clear(n);
		} else {
			n->tries++;
			n->until = now + RETRY_NS;
		}
	}
	spin_unlock_irqrestore(&lock, flags);
	if (dev && !gave_up)
		send_arp(dev, REQUEST, NULL, address);
	for (struct netbuf *nb = lost; nb; nb = nb->next)
		icmp_unreachable(nb, UNREACHABLE_HOST);
	free_list(lost);
	return dev;
}

static void retry(struct ktimer *t)
{
	u64 now = now_ns(), next = 0;

	while (retry_one(now))
		;
	ulong flags = spin_lock_irqsave(&lock);
	for (struct neighbour *n = table; n < table + ENTRIES; n++)
		if (n->dev && !n->known && (!next || n->until < next))
			next = n->until;
	spin_unlock_irqrestore(&lock, flags);
	if (next)
		timer_start(t, next);
}

void arp_forget(struct netdev *dev)
{
	for (int i = 0; i < ENTRIES; i++) {
		ulong flags = spin_lock_irqsave(&lock);
		struct netbuf *lost = table[i].dev == dev ? clear(&table[i]) : NULL;
		spin_unlock_irqrestore(&lock, flags);
		free_list(lost);
	}
}

/* ---- Receiving ---- */

void arp_input(struct netdev *dev, struct netbuf *nb)
{
	struct arp a;
	u32 ours = dev->address, mask = dev->mask;

	if (nb->len < sizeof(a) || !ours) {
		netbuf_free(nb);
		return;
	}
	memcpy(&a, nb->data, sizeof(a));
	netbuf_free(nb);
	u32 sender = get32(a.sender), target = get32(a.target), operation = get16(a.operation);
	if (get16(a.hardware) != HARDWARE_ETHERNET || get16(a.protocol) != ETHERTYPE_IPV4 || a.hardware_size != MAC_SIZE ||
	    a.protocol_size != sizeof(be32) || (operation != REQUEST && operation != REPLY))
		return;
	/* An odd first byte is a group's address, which nobody sends from. */
	if (a.sender_mac[0] & 1)
		return;
	/* Sender 0: someone tries whether an address is free (RFC 5227); it is answered, but there is nothing to learn. */
	bool believable = sender && sender != ours && !((sender ^ ours) & mask) && !netdev_broadcast(dev, sender);
	if (believable) {
		struct netbuf *waiting = NULL, *evicted = NULL;
		ulong flags = spin_lock_irqsave(&lock);
		struct neighbour *n = find(dev, sender);
		if (!n && target == ours && operation == REQUEST)
			n = claim(dev, sender, &evicted);
		if (n)
			waiting = learn(n, a.sender_mac);
		spin_unlock_irqrestore(&lock, flags);
		free_list(evicted);
		while (waiting) {
			struct netbuf *next = waiting->next;
			send_frame(dev, a.sender_mac, ETHERTYPE_IPV4, waiting);
			waiting = next;
		}
	}
	if (operation == REQUEST && target == ours && (believable || !sender))
		send_arp(dev, REPLY, a.sender_mac, sender);
}
