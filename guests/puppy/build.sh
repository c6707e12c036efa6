#!/bin/sh
# Builds puppy for development: build.sh i386|x86_64 OUTPUT [DIRECTORY OF GENERATED HEADERS]. The rule that
# scripts/guests.ts follows too: every .c and .S below this directory, but *_64.* only for x86_64 and *_32.* only for i386.
set -e
here=$(cd "$(dirname "$0")" && pwd)
arch=$1 out=$2 generated=${3:-$here/../include}
objects=$(mktemp -d)
trap 'rm -rf "$objects"' EXIT
flags="-std=gnu11 -O2 -g -ffreestanding -fno-builtin -fno-pic -fno-pie -mgeneral-regs-only -mno-red-zone -fno-stack-protector
 -fno-asynchronous-unwind-tables -fno-strict-aliasing -fcf-protection=none -Wall -Wextra -Werror -I$here/include -I$generated"
case $arch in
i386) flags="$flags -m32 -march=i686 -mregparm=3" skip='_64\.[cS]$' emulation=elf_i386 ;;
x86_64) flags="$flags -m64 -mcmodel=kernel" skip='_32\.[cS]$' emulation=elf_x86_64 ;;
*) echo "build.sh: architecture $arch is neither i386 nor x86_64" >&2; exit 1 ;;
esac
cd "$here"
for source in $(find . -name '*.c' -o -name '*.S' ! -name '*.lds.S' | grep -v '\.lds\.S$' | grep -Ev "$skip" | sort); do
	gcc $flags -c "$source" -o "$objects/$(echo "$source" | sed 's|^\./||; s|/|-|g').o" &
	[ $(jobs | wc -l) -lt 3 ] || wait
done
wait
gcc $flags -E -P -x assembler-with-cpp puppy.lds.S -o "$objects/puppy.lds"
ld -m $emulation -z noexecstack --no-warn-rwx-segments -z max-page-size=4096 -T "$objects/puppy.lds" -o "$out" "$objects"/*.o
