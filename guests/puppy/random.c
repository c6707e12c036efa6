/*
 * The generator: ChaCha20 (RFC 8439) under a key that nobody has seen. Each request takes a fresh key out of the old one
 * first and the bytes out of what comes after it, so that whoever reads the kernel's memory later learns nothing of what it
 * gave before. What a hardware source gives is mixed into the key, at the start and every minute. Without such a source
 * all that is hard to guess is the clock: good for hash tables, not for secrets.
 */
#include "random.h"
#include "errno.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"

#define KEY_WORDS 8
#define BLOCK_WORDS 16
#define RESEED_NS (60 * NSEC_PER_SEC)

static struct {
	u32 key[KEY_WORDS];
	bool awaits_seed;
	u64 seeded_at;
	void (*ask)(void);
	struct waitq wait;
	spinlock_t lock;
} rng;

static u32 rotate(u32 v, int n) { return v << n | v >> (32 - n); }

static void quarter_round(u32 *x, int a, int b, int c, int d)
{
	x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 16);
	x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 12);
	x[a] += x[b], x[d] = rotate(x[d] ^ x[a], 8);
	x[c] += x[d], x[b] = rotate(x[b] ^ x[c], 7);
}

/* One block, with nonce 0: no key is used for two purposes (RFC 8439, 2.3). */
static void chacha20(const u32 key[KEY_WORDS], u32 counter, u32 out[BLOCK_WORDS])
{
	u32 in[BLOCK_WORDS] = { 0x61707865, 0x3320646e, 0x79622d32, 0x6b206574 };

	memcpy(in + 4, key, KEY_WORDS * sizeof(u32));
	in[12] = counter;
	memcpy(out, in, BLOCK_WORDS * sizeof(u32));
	for (int i = 0; i < 10; i++) {
		for (int k = 0; k < 4; k++)
			quarter_round(out, k, 4 + k, 8 + k, 12 + k);
		for (int k = 0; k < 4; k++)
			quarter_round(out, k, 4 + (k + 1) % 4, 8 + (k + 2) % 4, 12 + (k + 3) % 4);
	}
	for (int i = 0; i < BLOCK_WORDS; i++)
		out[i] += in[i];
}

/* Half of a block replaces the key, the other half is a key for the caller. Under the lock. */
static void next_key(u32 given[KEY_WORDS])
{
	u32 block[BLOCK_WORDS];

	chacha20(rng.key, 0, block);
	memcpy(rng.key, block, sizeof(rng.key));
	memcpy(given, block + KEY_WORDS, sizeof(rng.key));
}

void random_bytes(void *to, size_t n)
{
	u32 key[KEY_WORDS], block[BLOCK_WORDS];
	u8 *p = to;
	ulong flags = spin_lock_irqsave(&rng.lock);

	next_key(key);
	spin_unlock_irqrestore(&rng.lock, flags);
	for (u32 counter = 0; n; counter++) {
		size_t k = min(n, sizeof(block));
		chacha20(key, counter, block);
		memcpy(p, block, k);
		p += k;
		n -= k;
	}
}

void random_mix(const void *from, size_t n)
{
	const u8 *p = from;
	u32 unused[KEY_WORDS];
	ulong flags = spin_lock_irqsave(&rng.lock);

	while (n) {
		size_t k = min(n, sizeof(rng.key));
		for (size_t i = 0; i < k; i++)
			((u8 *)rng.key)[i] ^= p[i];
		next_key(unused);
		p += k;
		n -= k;
	}
	spin_unlock_irqrestore(&rng.lock, flags);
}

static void mix_clock(void)
{
	u64 clock[3] = { rdtsc(), wall_ns(), now_ns() };
	random_mix(clock, sizeof(clock));
}

/* ---- Seeds ---- */

void random_source(void (*ask)(void))
{
	rng.awaits_seed = true;
	rng.ask = ask;
	ask();
}

void random_seed(const void *from, size_t n)
{
	random_mix(from, n);
	mix_clock();
	rng.seeded_at = now_ns();
	if (rng.awaits_seed)
		pr_info("random: seeded with %zu bytes\n", n);
	WRITE_ONCE(rng.awaits_seed, false);
	wake_all(&rng.wait);
	poll_wake();
}

static void freshen(void)
{
	u64 now = now_ns();

	if (rng.ask && now - rng.seeded_at > RESEED_NS) {
		rng.seeded_at = now;
		rng.ask();
	}
}

/* ---- For users ---- */

static int wait_for_seed(bool nonblock)
{
	if (nonblock && READ_ONCE(rng.awaits_seed))
		return -EAGAIN;
	return wait_event(&rng.wait, !READ_ONCE(rng.awaits_seed));
}

static long to_user(u8 *to, size_t n)
{
	u8 bytes[256];
	size_t done = 0;

	freshen();
	while (done < n) {
		size_t k = min(n - done, sizeof(bytes));
		random_bytes(bytes, k);
		if (copy_to_user(to + done, bytes, k))
			return done ? (long)done : -EFAULT;
		done += k;
		/* Someone who wants gigabytes does not keep others from running, and can be stopped. */
		if (this_cpu()->need_resched)
			schedule();
		if (signal_pending(current))
			break;
	}
	return done;
}

#define GRND_NONBLOCK 1
#define GRND_RANDOM 2
#define GRND_INSECURE 4

long sys_getrandom(u8 *to, size_t n, u32 flags)
{
	if (flags & ~(GRND_NONBLOCK | GRND_RANDOM | GRND_INSECURE))
		return -EINVAL;
	int err = flags & GRND_INSECURE ? 0 : wait_for_seed(flags & GRND_NONBLOCK);
	return err ? err : to_user(to, min(n, (size_t)0x7fffffff));
}

static long random_read(struct file *f, void *to, size_t n)
{
	int err = wait_for_seed(f->flags & O_NONBLOCK);
	return err ? err : to_user(to, n);
}

static long urandom_read(struct file *f, void *to, size_t n)
{
	(void)f;
	return to_user(to, n);
}

static long random_write(struct file *f, const void *from, size_t n)
{
	u8 bytes[256];

	(void)f;
	for (size_t done = 0, k; done < n; done += k) {
		k = min(n - done, sizeof(bytes));
		if (copy_from_user(bytes, (const u8 *)from + done, k))
			return done ? (long)done : -EFAULT;
		random_mix(bytes, k);
		if (signal_pending(current))
			return done + k;
	}
	return n;
}

static u32 random_poll(struct file *f)
{
	(void)f;
	return POLLOUT | POLLWRNORM | (READ_ONCE(rng.awaits_seed) ? 0 : POLLIN | POLLRDNORM);
}

static const struct file_ops random_fops = { .read = random_read, .write = random_write, .poll = random_poll };
static const struct file_ops urandom_fops = { .read = urandom_read, .write = random_write };

void random_init(void)
{
	mix_clock();
	device_node("random", 0666, 1 << 8 | 8, &random_fops);
	device_node("urandom", 0666, 1 << 8 | 9, &urandom_fops);
}
