/*
 * Bare hardware: time. The 8254's channel 0 interrupts every 10 ms, its counter gives the time between; the CMOS clock knows
 * what day it is.
 */
#include "native.h"
#include "proc.h"

#define PIT_HZ 1193182
#define PIT_COUNT (PIT_HZ / HZ)

void native_clock_start(void)
{
	outb(0x43, 0x34); /* channel 0, both bytes, mode 2: rate generator */
	outb(0x40, PIT_COUNT & 0xff);
	outb(0x40, PIT_COUNT >> 8);
	native_irq_enable_line(0);
}

void native_clock_next(u64 ns) { (void)ns; }

static bool tick_waits(void)
{
	outb(0x20, 0x0a); /* 8259, OCW3: read the request register */
	return inb(0x20) & 1;
}

u64 native_clock_ns(void)
{
	static spinlock_t lock; /* the port is read in two halves */
	static u64 last;
	ulong flags = spin_lock_irqsave(&lock);

	outb(0x43, 0); /* latch */
	u32 count = inb(0x40);
	count |= inb(0x40) << 8;
	u64 within = (u64)(PIT_COUNT - min(count, (u32)PIT_COUNT)) * 838;
	u64 now = jiffies * TICK_NS + within;
	/* The counter wraps before its interrupt is taken, which with several processors may take a while. */
	if (cpu_count > 1 && within < TICK_NS / 2 && tick_waits())
		now += TICK_NS;
	/* However that may be, time must not go back. */
	if (now < last)
		now = last;
	last = now;
	spin_unlock_irqrestore(&lock, flags);
	return now;
}

static u32 cmos(u8 reg)
{
	outb(0x70, reg);
	return inb(0x71);
}

static u64 days_since_1970(u32 y, u32 m, u32 d)
{
	/* Months counted from March, so that the leap day is the year's last. */
	if (m <= 2)
		y--, m += 12;
	return 365ull * y + y / 4 - y / 100 + y / 400 + (153 * (m - 3) + 2) / 5 + d - 1 - 719468;
}

u64 native_wall_seconds(void)
{
	u32 t[6], again[6];
	static const u8 regs[6] = { 0, 2, 4, 7, 8, 9 }; /* s, min, h, day, month, year */

	/* Read twice, until no update came between. */
	do {
		for (int i = 0; i < 6; i++)
			t[i] = cmos(regs[i]);
		for (int i = 0; i < 6; i++)
			again[i] = cmos(regs[i]);
	} while (memcmp(t, again, sizeof(t)));
	u32 mode = cmos(0x0b);
	bool pm = t[2] & 0x80;
	t[2] &= 0x7f;
	if (!(mode & 4)) /* BCD */
		for (int i = 0; i < 6; i++)
			t[i] = (t[i] >> 4) * 10 + (t[i] & 15);
	if (!(mode & 2)) /* 12 hours */
		t[2] = t[2] % 12 + (pm ? 12 : 0);
	return days_since_1970(2000 + t[5] % 100, t[4], t[3]) * 86400 + t[2] * 3600 + t[1] * 60 + t[0];
}
