/* The serial port (16550 data sheet): the console of a bare machine without a virtio console. */
#include "serial.h"
#include "fs.h"
#include "printk.h"
#include "proc.h"

#define PORT 0x3f8
#define DATA PORT
#define INTERRUPTS (PORT + 1)
#define FIFO (PORT + 2)
#define LINE_CONTROL (PORT + 3)
#define MODEM_CONTROL (PORT + 4)
#define LINE_STATUS (PORT + 5)
#define RECEIVED 1
#define SEND_EMPTY 0x20
#define SERIAL_IRQ 4

static void send(u8 c)
{
	/* A port that is not there reads as all ones, and is always "empty". */
	while (!(inb(LINE_STATUS) & SEND_EMPTY))
		cpu_relax();
	outb(DATA, c);
}

/* One for each direction: input is echoed while it is taken. */
static spinlock_t out_lock, in_lock;

void serial_write(const char *s, size_t n)
{
	ulong flags = spin_lock_irqsave(&out_lock);

	for (size_t i = 0; i < n; i++) {
		if (s[i] == '\n' && (i == 0 || s[i - 1] != '\r'))
			send('\r');
		send(s[i]);
	}
	spin_unlock_irqrestore(&out_lock, flags);
}

/* The tty makes its own "\r\n". */
static void serial_write_raw(const char *s, size_t n)
{
	ulong flags = spin_lock_irqsave(&out_lock);

	for (size_t i = 0; i < n; i++)
		send(s[i]);
	spin_unlock_irqrestore(&out_lock, flags);
}

static int waiting = -1; /* a character that the tty had no room for */

static void serial_receive(void)
{
	ulong flags = spin_lock_irqsave(&in_lock);

	if (waiting >= 0 && tty_input(waiting))
		waiting = -1;
	while (waiting < 0 && (inb(LINE_STATUS) & RECEIVED)) {
		u8 c = inb(DATA);
		if (!tty_input(c))
			waiting = c;
	}
	spin_unlock_irqrestore(&in_lock, flags);
}

static void serial_interrupt(struct pt_regs *regs)
{
	(void)regs;
	serial_receive();
}

void serial_init(void)
{
	outb(LINE_CONTROL, 0x80); /* divisor */
	outb(DATA, 1);            /* 115200 baud */
	outb(INTERRUPTS, 0);
	outb(LINE_CONTROL, 3); /* 8 bits, no parity */
	outb(FIFO, 7);
	outb(MODEM_CONTROL, 0xb); /* the interrupt line passes through OUT2 */
	outb(INTERRUPTS, 1);
	irq_register(SERIAL_IRQ, serial_interrupt);
	log_attach_console(serial_write);
	tty_attach(serial_write_raw, serial_receive);
}
