/* mount umount sync fsync df rmdir chmod truncate */
#include "applets.h"

static int show_mounts(void)
{
	char *const argv[] = {"cat", "/proc/mounts", NULL};
	return cat_main(2, (char **)argv);
}

int mount_main(int argc, char **argv)
{
	ulong flags = 0;
	const char *type = "ext2";
	int i = 1;
	if (argc == 1)
		return show_mounts();
	for (; i + 1 < argc && argv[i][0] == '-'; i++) {
		if (!strcmp(argv[i], "-t")) {
			type = argv[++i];
			continue;
		}
		if (!strcmp(argv[i], "-r")) {
			flags |= MS_RDONLY;
			continue;
		}
		if (strcmp(argv[i], "-o"))
			break;
		const char *option = argv[++i];
		for (const char *next; *option; option = next) {
			size_t n = 0;
			while (option[n] && option[n] != ',')
				n++;
			next = option + n + (option[n] == ',');
			if (n == 2 && !strncmp(option, "ro", 2))
				flags |= MS_RDONLY;
			else if (n == 7 && !strncmp(option, "remount", 7))
				flags |= MS_REMOUNT;
			else if (!(n == 2 && !strncmp(option, "rw", 2)))
				return bad_usage("[-t ext2] [-r] [-o ro,rw,remount] DEVICE DIRECTORY");
		}
	}
	if (argc - i != 2)
		return bad_usage("[-t ext2] [-r] [-o ro,rw,remount] DEVICE DIRECTORY");
	int error = mount(argv[i], argv[i + 1], type, flags);
	return error < 0 ? complain(argv[i], error) : 0;
}

int umount_main(int argc, char **argv)
{
	int failed = 0;
	if (argc < 2)
		return bad_usage("DIRECTORY...");
	for (int i = 1; i < argc; i++) {
		int error = umount(argv[i]);
		if (error < 0)
			failed |= complain(argv[i], error);
	}
	return failed;
}

int sync_main(int argc, char **argv)
{
	(void)argc, (void)argv;
	return sync() < 0;
}

int fsync_main(int argc, char **argv)
{
	int failed = 0;
	if (argc < 2)
		return bad_usage("FILE...");
	for (int i = 1; i < argc; i++) {
		int fd = open(argv[i], O_RDONLY, 0), error = fd < 0 ? fd : fsync(fd);
		if (error < 0)
			failed |= complain(argv[i], error);
		if (fd >= 0)
			close(fd);
	}
	return failed;
}

int df_main(int argc, char **argv)
{
	int failed = 0;
	struct usage u;
	if (argc < 2)
		return bad_usage("DIRECTORY...");
	printf("%12s %12s %12s %10s %10s\n", "KiB", "used", "free", "inodes", "free");
	for (int i = 1; i < argc; i++) {
		int error = statfs(argv[i], &u);
		if (error < 0) {
			failed |= complain(argv[i], error);
			continue;
		}
		printf("%12llu %12llu %12llu %10llu %10llu %s\n", u.blocks * u.block_size / 1024,
		       (u.blocks - u.blocks_free) * u.block_size / 1024, u.blocks_free * u.block_size / 1024, u.inodes,
		       u.inodes_free, argv[i]);
	}
	return failed;
}

int rmdir_main(int argc, char **argv)
{
	int failed = 0;
	if (argc < 2)
		return bad_usage("DIRECTORY...");
	for (int i = 1; i < argc; i++) {
		int error = rmdir(argv[i]);
		if (error < 0)
			failed |= complain(argv[i], error);
	}
	return failed;
}

int chmod_main(int argc, char **argv)
{
	int mode = 0, failed = 0;
	if (argc < 3)
		return bad_usage("OCTAL FILE...");
	for (const char *c = argv[1]; *c; c++) {
		if (*c < '0' || *c > '7')
			return bad_usage("OCTAL FILE...");
		mode = mode * 8 + (*c - '0');
	}
	for (int i = 2; i < argc; i++) {
		int error = chmod(argv[i], mode);
		if (error < 0)
			failed |= complain(argv[i], error);
	}
	return failed;
}

int truncate_main(int argc, char **argv)
{
	s64 size = argc == 3 ? size_of(argv[1]) : -1;
	if (size < 0)
		return bad_usage("SIZE FILE");
	int fd = open(argv[2], O_WRONLY | O_CREAT, 0644);
	if (fd < 0)
		return complain(argv[2], fd);
	close(fd);
	int error = truncate(argv[2], size);
	return error < 0 ? complain(argv[2], error) : 0;
}
