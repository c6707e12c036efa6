/*
 * Messages go to a ring of bytes, each line with its time, and to the console if they are urgent enough. Until a console
 * attaches they only wait in the ring; natively the serial port speaks from the start.
 */
#include "printk.h"
#include "proc.h"
#include "serial.h"

#define LOG_SIZE 16384
static char ring[LOG_SIZE];
static ulong log_end;   /* bytes ever written; the ring holds the last LOG_SIZE of them */
static ulong log_start; /* after dmesg -c */
static spinlock_t log_lock;
static void (*console_write)(const char *s, size_t n);
/* Up to here the console has what it wants. Lines for it from before there was one are kept apart. */
static char early[1024];
static size_t early_len;

int console_loglevel = LOG_INFO; /* the banner; lowered to warnings before the first process runs */

static void emit(const char *s, size_t n)
{
	if (console_write)
		console_write(s, n);
	else if (early_len + n <= sizeof(early)) {
		memcpy(early + early_len, s, n);
		early_len += n;
	}
}

void log_attach_console(void (*write)(const char *s, size_t n))
{
	console_write = write;
	write(early, early_len);
	early_len = 0;
}

static void record(const char *s, size_t n)
{
	for (size_t i = 0; i < n; i++)
		ring[log_end++ % LOG_SIZE] = s[i];
}

void printk(int level, const char *fmt, ...)
{
	char line[256], stamp[32];
	va_list ap;

	va_start(ap, fmt);
	int n = vsnprintf(line, sizeof(line), fmt, ap);
	va_end(ap);
	n = min(n, (int)sizeof(line) - 1);

	ulong flags = spin_lock_irqsave(&log_lock);
	u64 us = now_ns() / 1000;
	int k = snprintf(stamp, sizeof(stamp), "<%d>[%5lu.%06lu] ", level, (ulong)(us / 1000000), (ulong)(us % 1000000));
	record(stamp, k);
	record(line, n);
	if (level < console_loglevel)
		emit(line, n);
	spin_unlock_irqrestore(&log_lock, flags);
}

int log_size(void) { return min(log_end - log_start, (ulong)LOG_SIZE); }
void log_clear(void) { log_start = log_end; }

int log_read(char *buf, int size)
{
	ulong flags = spin_lock_irqsave(&log_lock);
	int n = min(size, log_size());
	ulong from = log_end - n;

	for (int i = 0; i < n; i++)
		buf[i] = ring[(from + i) % LOG_SIZE];
	spin_unlock_irqrestore(&log_lock, flags);
	return n;
}

/* Whoever has the log's lock may be the one that is in trouble. */
static void break_lock(void)
{
	for (int patience = 1000000; patience && READ_ONCE(log_lock.held); patience--)
		cpu_relax();
	spin_unlock(&log_lock);
}

void panic(const char *fmt, ...)
{
	static u32 dying; /* one more than the processor's number */
	char line[256];
	va_list ap;
	u32 self = this_cpu()->cpu + 1, before = 0;

	irq_disable();
	/* The first speaks for all, and the machine goes with it. */
	__atomic_compare_exchange_n(&dying, &before, self, false, __ATOMIC_SEQ_CST, __ATOMIC_SEQ_CST);
	while (before && before != self)
		cpu_relax();
	va_start(ap, fmt);
	int n = snprintf(line, sizeof(line), "panic: ");
	vsnprintf(line + n, sizeof(line) - n, fmt, ap);
	va_end(ap);
	if (!before) {
		break_lock();
		/* A panic before the console: at least the serial port, or the reason that the hypervisor is given. */
		if (!console_write && pv_ops.has_ports)
			log_attach_console(serial_write);
		printk(LOG_EMERG, "%s\n", line);
	}
	pv_ops.power_off(line, 255);
}
