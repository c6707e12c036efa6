/* Messages: a ring that dmesg reads, and the console for the urgent ones. */
#pragma once
#include "types.h"

enum { LOG_EMERG = 0, LOG_ERR = 3, LOG_WARN = 4, LOG_NOTICE = 5, LOG_INFO = 6, LOG_DEBUG = 7 };

extern int console_loglevel; /* messages below this level go to the console */

void printk(int level, const char *fmt, ...) __attribute__((format(printf, 2, 3)));
void panic(const char *fmt, ...) __attribute__((noreturn, format(printf, 1, 2)));
void log_attach_console(void (*write)(const char *s, size_t n)); /* replays what it missed */
int log_read(char *buf, int size);
int log_size(void);
void log_clear(void);

#define pr_info(...) printk(LOG_INFO, __VA_ARGS__)
#define pr_notice(...) printk(LOG_NOTICE, __VA_ARGS__)
#define pr_warn(...) printk(LOG_WARN, __VA_ARGS__)
#define pr_err(...) printk(LOG_ERR, __VA_ARGS__)
#define pr_debug(...) printk(LOG_DEBUG, __VA_ARGS__)
