/*
 * D:110 A network card works the other way round: buffers are offered before anybody knows what will come. The network
 * device (virtio 1.0, 5.1): queue 0, which it fills with frames, and queue 1, from which it sends. In front of each
 * frame lies a header for work that devices may take over, which we do not ask for: it is all zeroes.
 *
 * Frames are dealt with in the device's interrupt, answers to them included. An interrupt takes no more frames than the
 * queue has buffers, because buffers are offered anew only when it is done: whatever came meanwhile raises the next one.
 */
#include "net.h"
#include "printk.h"
#include "random.h"
#include "virtio.h"

#define FEATURE_MAC (1ull << 5)
#define HEADER 12 /* 5.1.6: of a device of version 1 */
#define RX_BUFFERS 32
#define TX_BUFFERS 64
_Static_assert(HEADER + ETHERNET_HEADER + 20 + 8 <= NETBUF_HEADROOM, "IPv4's, UDP's and our header fit");

struct card {
	struct virtio_device device;
	struct virtqueue *rx, *tx;
	struct netdev net;
};

/* ---- Sending ---- */

static void reclaim(struct card *c)
{
	struct netbuf *nb;

	while ((nb = virtqueue_get(c->tx, NULL)))
		netbuf_free(nb);
}

static void transmit(struct netdev *dev, struct netbuf *nb)
{
	struct card *c = container_of(dev, struct card, net);

	reclaim(c);
	memset(netbuf_push(nb, HEADER), 0, HEADER);
	if (!virtqueue_add(c->tx, &(struct virtio_piece){ nb->data, nb->len }, 1, 0, nb)) {
		/* Quicker than the device: as on a wire that is full, the frame is lost. */
		count(&dev->dropped, 1);
		netbuf_free(nb);
		return;
	}
	virtqueue_kick(c->tx);
}

/* ---- Receiving ---- */

static bool offer(struct card *c, struct netbuf *nb)
{
	return virtqueue_add(c->rx, &(struct virtio_piece){ nb->data - HEADER, HEADER + NETBUF_ROOM }, 0, 1, nb);
}

static void interrupt(struct virtio_device *d)
{
	struct card *c = container_of(d, struct card, device);
	struct netbuf *used[RX_BUFFERS];
	u32 n = 0, written;

	for (struct netbuf *nb; n < RX_BUFFERS && (nb = virtqueue_get(c->rx, &written)); used[n++] = nb)
		nb->len = written > HEADER && written <= HEADER + NETBUF_ROOM ? written - HEADER : 0;
	for (u32 i = 0; i < n; i++) {
		/* No other buffer to put in its place: the frame is lost, the buffer is not. */
		struct netbuf *nb = used[i], *next = nb->len ? netbuf_new(NETBUF_ROOM) : NULL;
		if (next)
			net_receive(&c->net, nb);
		else
			count(&c->net.dropped, 1);
		used[i] = next ? next : nb;
	}
	for (u32 i = 0; i < n; i++)
		if (!offer(c, used[i]))
			netbuf_free(used[i]);
	if (n)
		virtqueue_kick(c->rx);
}

static bool start(struct card *c)
{
	c->rx = virtio_queue(&c->device, 0, RX_BUFFERS);
	c->tx = virtio_queue(&c->device, 1, TX_BUFFERS);
	if (!c->rx || !c->tx)
		return false;
	for (int i = 0; i < RX_BUFFERS; i++) {
		struct netbuf *nb = netbuf_new(NETBUF_ROOM);
		if (!nb)
			return i > 0;
		if (!offer(c, nb)) {
			netbuf_free(nb);
			break;
		}
	}
	return true;
}

void virtio_net_init(void)
{
	struct pci_device *pci = pci_find(VIRTIO_VENDOR, VIRTIO_NET);
	struct card *c;

	if (!pci || !(c = kzalloc(sizeof(*c))))
		return;
	if (!virtio_open(&c->device, pci, FEATURE_MAC)) {
		kfree(c);
		return;
	}
	if (!start(c)) {
		virtio_fail(&c->device);
		pr_warn("virtio net: no queues\n");
		return;
	}
	if ((c->device.features & FEATURE_MAC) && c->device.config) {
		for (u32 i = 0; i < MAC_SIZE; i++)
			c->net.mac[i] = virtio_config(&c->device, i, 1);
	} else {
		/* It has no address: we choose one, locally administered. */
		random_bytes(c->net.mac, MAC_SIZE);
		c->net.mac[0] = (c->net.mac[0] & ~1) | 2;
	}
	strlcpy(c->net.name, "eth0", sizeof(c->net.name));
	c->net.flags = IFF_BROADCAST;
	c->net.mtu = ETHERNET_MTU;
	c->net.transmit = transmit;
	netdev_add(&c->net);
	virtqueue_quiet(c->tx);
	virtio_start(&c->device, interrupt);
	virtqueue_kick(c->rx);
	pr_info("eth0: %02x:%02x:%02x:%02x:%02x:%02x, irq %d\n", c->net.mac[0], c->net.mac[1], c->net.mac[2], c->net.mac[3],
		c->net.mac[4], c->net.mac[5], pci->irq);
}
