/* The 16550 at 0x3F8, native machines only. */
#pragma once
#include "types.h"

void serial_write(const char *s, size_t n);
void serial_init(void); /* as the console: attaches itself to the tty */
