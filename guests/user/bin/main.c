#include "applets.h"

static const struct {
	const char *name;
	int (*main)(int argc, char **argv);
} applets[] = {
#define ENTRY(name) {#name, name##_main},
	APPLETS(ENTRY)
};

static int same(const char *applet, const char *name)
{
	for (; *applet || *name; applet++, name++)
		if (*name != (*applet == '_' ? '-' : *applet))
			return 0;
	return 1;
}

static const char *last_part(const char *path)
{
	const char *slash = strrchr(path, '/');
	return slash ? slash + 1 : path;
}

int main(int argc, char **argv)
{
	if (argc < 1)
		return 127;
	program = last_part(argv[0]);
	if (same("puppybox", program) && argc > 1) {
		argc--;
		argv++;
		program = last_part(argv[0]);
	}
	for (size_t i = 0; i < ARRAY_SIZE(applets); i++)
		if (same(applets[i].name, program))
			return applets[i].main(argc, argv);
	dprintf(2, "%s: not one of my programs\n", program);
	return 127;
}
