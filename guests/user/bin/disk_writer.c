/*
 * disk-writer: for tests that pull the plug. It writes files, moves and removes them, for ever, and says on its standard
 * output what must be true from then on, whatever happens to the machine:
 *
 *   + PATH        the file is there (said when its fsync has returned)
 *   > PATH PATH2  it is about to move: it is at one of the two
 *   - PATH        it is about to be removed: it may or may not be there
 *   = N           DIR/current has been replaced, and has version N or a later one
 *
 * What is in a file follows from the last part of its name; what is in `current`, from the line it starts with.
 */
#include "applets.h"

#define DIRECTORIES 6
#define KEEP 24 /* files that are there at once */
#define LARGEST 300000

static char data[LARGEST];

static u32 hash(const char *s)
{
	u32 h = 2166136261u;
	for (; *s; s++)
		h = (h ^ (u8)*s) * 16777619u;
	return h ? h : 1;
}

/* Bytes of a name: their number, and they themselves in `data`. Mostly short, sometimes long enough for indirect blocks. */
static size_t contents(const char *name)
{
	u32 x = hash(name);
	size_t n = x % 16 ? x % 6000 : x % LARGEST;
	for (size_t i = 0; i < n; i += 4) {
		x ^= x << 13;
		x ^= x >> 17;
		x ^= x << 5;
		for (size_t k = 0; k < 4 && i + k < n; k++)
			data[i + k] = x >> 8 * k;
	}
	return n;
}

/* Writes a file whole, over what it has already unless `flags` say otherwise; with `durable`, until the disk has it. */
static int write_file(const char *path, int flags, const char *bytes, size_t n, int durable)
{
	int fd = open(path, O_WRONLY | flags, 0644);
	if (fd < 0)
		return fd;
	int error = write_all(fd, bytes, n);
	if (error >= 0 && durable)
		error = fsync(fd);
	close(fd);
	return error;
}

static int put(const char *path, const char *bytes, size_t n, int durable)
{
	return write_file(path, O_CREAT | O_TRUNC, bytes, n, durable);
}

static int sync_path(const char *path)
{
	int fd = open(path, O_RDONLY, 0);
	if (fd < 0)
		return fd;
	int error = fsync(fd);
	close(fd);
	return error;
}

static const char *base;
static char tag[32];
static u32 place[KEEP]; /* which directory each is in */

/* Every fourth is in a directory that was made for it, and moves with that. */
static int has_own(u32 file) { return file % 4 == 1; }

static void own_of(char *path, size_t n, u32 file, u32 directory)
{
	snprintf(path, n, "%s/d%u/%s-own-%u", base, directory, tag, file);
}

static void path_of(char *path, size_t n, u32 file, u32 directory)
{
	char own[128];
	own_of(own, sizeof own, file, directory);
	if (has_own(file))
		snprintf(path, n, "%s/%s-%u", own, tag, file);
	else
		snprintf(path, n, "%s/d%u/%s-%u", base, directory, tag, file);
}

/* A file more, for good. */
static int add(u32 file)
{
	char path[160], name[64];
	place[file % KEEP] = file % DIRECTORIES;
	if (has_own(file)) {
		own_of(path, sizeof path, file, place[file % KEEP]);
		mkdir(path, 0755);
	}
	path_of(path, sizeof path, file, place[file % KEEP]);
	snprintf(name, sizeof name, "%s-%u", tag, file);
	size_t n = contents(name);
	int error;
	if (file % 5) {
		error = put(path, data, n, 1);
	} else {
		/* It was longer, and then shorter, before it became what it is to be. */
		error = put(path, data, LARGEST / 10, file % 2);
		if (error >= 0)
			error = truncate(path, n / 3);
		if (error >= 0)
			error = truncate(path, n);
		if (error >= 0)
			error = write_file(path, 0, data, n, 1);
	}
	if (error < 0)
		return error;
	dprintf(1, "+ %s\n", path);
	return 0;
}

static int move(u32 file)
{
	char from[160], to[160], own[160], other_own[160];
	u32 other = (place[file % KEEP] + 1) % DIRECTORIES;
	path_of(from, sizeof from, file, place[file % KEEP]);
	path_of(to, sizeof to, file, other);
	dprintf(1, "> %s %s\n", from, to);
	int error;
	if (has_own(file)) {
		own_of(own, sizeof own, file, place[file % KEEP]);
		own_of(other_own, sizeof other_own, file, other);
		error = rename(own, other_own);
	} else if (file % 2) {
		error = link(from, to);
		if (error >= 0)
			error = unlink(from);
	} else {
		error = rename(from, to);
	}
	if (error >= 0)
		error = sync_path(to);
	if (error < 0)
		return error;
	place[file % KEEP] = other;
	dprintf(1, "+ %s\n", to);
	return 0;
}

static int drop(u32 file)
{
	char path[160];
	path_of(path, sizeof path, file, place[file % KEEP]);
	dprintf(1, "- %s\n", path);
	int error = unlink(path);
	if (error < 0 || !has_own(file))
		return error;
	own_of(path, sizeof path, file, place[file % KEEP]);
	return rmdir(path);
}

/* One name that always means one whole version. */
static int replace(u32 version)
{
	char path[128], temporary[128], name[64];
	snprintf(path, sizeof path, "%s/current", base);
	snprintf(temporary, sizeof temporary, "%s/d%u/new", base, version % DIRECTORIES);
	int head = snprintf(name, sizeof name, "%s %u", tag, version);
	size_t n = contents(name);
	static char whole[LARGEST + 64];
	memcpy(whole, name, head);
	whole[head] = '\n';
	memcpy(whole + head + 1, data, n);
	int error = put(temporary, whole, head + 1 + n, 1);
	if (error >= 0)
		error = rename(temporary, path);
	if (error >= 0 && version % 2) {
		error = sync_path(path);
		if (error >= 0)
			dprintf(1, "= %u\n", version);
	}
	return error;
}

/* Work for the file system that nothing is promised about. */
static int disturb(u32 n)
{
	char a[128], b[128];
	snprintf(a, sizeof a, "%s/d%u/loose-%u", base, n % DIRECTORIES, n % 10);
	snprintf(b, sizeof b, "%s/d%u/moved-%u", base, (n + 2) % DIRECTORIES, n % 7);
	int error = put(a, data, n * 977 % 20000, 0);
	if (error < 0)
		return error;
	rename(a, b);
	link(b, a);
	snprintf(a, sizeof a, "%s/d%u/sub-%u", base, n % DIRECTORIES, n % 3);
	if (mkdir(a, 0755) >= 0) {
		snprintf(b, sizeof b, "%s/inner", a);
		put(b, data, 2000, 0);
	} else {
		snprintf(b, sizeof b, "%s/inner", a);
		unlink(b);
		rmdir(a);
	}
	snprintf(a, sizeof a, "%s/d%u/moved-%u", base, (n + 1) % DIRECTORIES, n % 5);
	if (n % 3)
		unlink(a);
	else
		truncate(a, n * 331 % 9000);
	snprintf(a, sizeof a, "%s/log", base);
	int fd = open(a, O_WRONLY | O_CREAT | O_APPEND, 0644);
	if (fd < 0)
		return fd;
	error = write_all(fd, data, n % 700);
	close(fd);
	if (n % 64 == 63)
		unlink(a);
	return error;
}

int disk_writer_main(int argc, char **argv)
{
	char path[128];
	if (argc != 3 || strlen(argv[2]) >= sizeof tag) {
		dprintf(2, "usage: disk-writer DIRECTORY TAG\n");
		return 2;
	}
	base = argv[1];
	strcpy(tag, argv[2]);
	for (u32 d = 0; d < DIRECTORIES; d++) {
		snprintf(path, sizeof path, "%s/d%u", base, d);
		mkdir(path, 0755);
	}
	for (u32 n = 0;; n++) {
		int error = n >= KEEP ? drop(n - KEEP) : 0;
		if (error >= 0)
			error = disturb(n);
		if (error >= 0)
			error = add(n);
		if (error >= 0 && n % 3 == 2)
			error = move(n - 2);
		if (error >= 0 && n % 2)
			error = replace(n);
		if (error < 0)
			return complain("disk-writer", error);
	}
}
