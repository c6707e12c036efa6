import { execFileSync, spawnSync } from "node:child_process"
import { createHash } from "node:crypto"
import {
  linkSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  rmSync,
  statSync,
  symlinkSync,
  truncateSync,
  writeFileSync,
} from "node:fs"
import { tmpdir } from "node:os"
import { join, relative } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { cpio } from "../../scripts/guests/cpio.ts"
import { buildImages, initramfsImage, kernelImage } from "../../scripts/guests/images.ts"
import { ARCHES, gasAvailable } from "../../scripts/guests/toolchain.ts"
import { lguest64 } from "../launcher/spawn.ts"
import { boot, buildLoader, reason as noQemu } from "./qemu/machine.ts"

/*
 * puppy's ext2 against those who know it best: mke2fs makes the disks, fsck.ext2 says whether they are still right, and
 * debugfs reads what is on them.
 */
const missing = ["mke2fs", "fsck.ext2", "debugfs"].filter(
  (tool) => spawnSync(tool, ["-V"], { stdio: "ignore" }).error !== undefined,
)
if (missing.length > 0) console.log(`ext2 is not tested: e2fsprogs' ${missing.join(", ")} not found`)

const TIMEOUT = 120_000

describe.skipIf(missing.length > 0)("ext2", () => {
  const work = mkdtempSync(join(tmpdir(), "ext2-"))
  const file = (name: string) => join(work, name)
  const run = (command: string, ...args: ReadonlyArray<string>) =>
    execFileSync(command, args, { stdio: ["ignore", "pipe", "ignore"], encoding: "latin1" })

  beforeAll(() => {
    tree(file("tree"))
  })
  afterAll(() => rmSync(work, { recursive: true, force: true }))

  const make = (name: string, size: string, ...options: ReadonlyArray<string>): string => {
    run("mke2fs", "-q", "-t", "ext2", ...options, "-F", file(name), size)
    return file(name)
  }
  const clean = (image: string) => {
    const { status, stdout } = spawnSync("fsck.ext2", ["-fn", image], { encoding: "latin1" })
    expect(stdout.includes("not cleanly unmounted") ? `marked as in use:\n${stdout}` : "").toBe("")
    expect(status, stdout).toBe(0)
  }
  const dump = (image: string, path: string): string => {
    const to = mkdtempSync(file("dump-"))
    run("debugfs", "-R", `rdump ${path} ${to}`, image)
    return to
  }
  /** A guest does as the lines say, switches itself off, and gives what its console said. */
  const guest = async (
    disks: ReadonlyArray<string>,
    lines: ReadonlyArray<string>,
    ...options: ReadonlyArray<string>
  ): Promise<string> => {
    const input = [...lines, "poweroff", ""].join("\n")
    const args = ["run", ...options, ...disks.flatMap((disk) => ["--block", disk])]
    const { status, stdout, stderr } = await lguest64(args, input)
    expect(status, stdout + stderr).toBe(0)
    return stdout.replaceAll("\r", "")
  }

  describe.each(ARCHES)("on %s", (arch) => {
    const on = ["--arch", arch]

    it.each([
      ["1024", []],
      ["2048", ["-r", "0"]],
      ["4096", ["-I", "128"]],
    ] as const)("copies a tree, blocks of %s bytes %j", { timeout: TIMEOUT }, async (size, options) => {
      const image = make("copy.img", "40M", "-b", size, "-d", file("tree"), ...options)
      const out = await guest([image], ["mount /dev/vda /mnt", "mkdir /mnt/copy", "cp -r /mnt/root /mnt/copy"], ...on)
      expect(out).not.toContain("cp:")
      clean(image)
      expect(describeTree(join(dump(image, "/copy"), "copy/root"))).toEqual(describeTree(file("tree/root")))
      // And what was there is what it was.
      expect(describeTree(join(dump(image, "/root"), "root"))).toEqual(describeTree(file("tree/root")))
    })

    it.each(["1024", "4096"])(
      "is full when it is full, and has room again, blocks of %s bytes",
      { timeout: TIMEOUT },
      async (size) => {
        const image = make("full.img", "6M", "-b", size, "-N", "128")
        const out = await guest(
          [image],
          [
            "mount /dev/vda /mnt",
            "dd if=/dev/zero of=/mnt/a bs=20k",
            "mkdir /mnt/none || echo no directory",
            "rm /mnt/a",
            "dd if=/dev/zero of=/mnt/b bs=20k count=100",
            // More names than inodes.
            ...Array.from({ length: 130 }, (_, n) => `echo ${n} > /mnt/n${n}`),
            "df /mnt",
          ],
          ...on,
        )
        expect(out).toContain("dd: /mnt/a: No space left on device")
        expect(out).toContain("no directory")
        expect(out).toContain("2048000 bytes")
        expect(out).toMatch(/n129: No space left on device/)
        clean(image)
        const copy = dump(image, "/")
        expect(statSync(join(copy, "b")).size).toBe(2048000)
        expect(readFileSync(join(copy, "n7"), "latin1")).toBe("7\n")
      },
    )

    it("moves, links and removes", { timeout: TIMEOUT }, async () => {
      const image = make("names.img", "16M", "-b", "1024")
      const many = Array.from({ length: 60 }, (_, n) => `${"long-name-".repeat(20)}${n}`)
      const out = await guest(
        [image],
        [
          ...["mount /dev/vda /mnt", "cd /mnt", "mkdir a", "mkdir b", "mkdir a/sub", "echo one > a/sub/file"],
          ...["mv a/sub b", "ls -la b/sub", "ls b/sub/..", "echo two > two", "mv two b/sub/file", "cat b/sub/file"],
          ...[
            "ln b/sub/file a/again",
            "rm b/sub/file",
            "cat a/again",
            "mv b a",
            "ls a/b/..",
            "mv a a/b || echo never",
            "mv a/b .",
          ],
          ...[
            "rmdir a || echo not empty",
            "ln -s again a/link",
            `ln -s ${"/mnt/a/./".repeat(8)}again slow`,
            "cat slow",
          ],
          // A directory of many blocks, half of which goes.
          ...["mkdir big", ...many.map((name) => `echo ${name} > big/${name}`)],
          ...many.filter((_, n) => n % 2 === 0).map((name) => `rm big/${name}`),
          ...["chmod 640 a/again", "truncate 5k a/again", "cd /", "mv /mnt/a/again /mnt/big/moved"],
        ],
        ...on,
      )
      expect(out).toContain("two\n")
      expect(out).toContain("not empty\n")
      expect(out).toMatch(/^never$/m)
      clean(image)
      const copy = dump(image, "/")
      expect(readdirSync(copy).sort()).toEqual(["a", "b", "big", "lost+found", "slow"])
      expect(readdirSync(join(copy, "b/sub"))).toEqual([])
      expect(readdirSync(join(copy, "big")).sort()).toEqual([...many.filter((_, n) => n % 2 === 1), "moved"].sort())
      expect(statSync(join(copy, "big/moved")).mode & 0o777).toBe(0o640)
      expect(readFileSync(join(copy, "big/moved"))).toEqual(Buffer.concat([Buffer.from("two\n"), Buffer.alloc(5116)]))
    })

    it("reaches the third level of indirection, through holes", { timeout: TIMEOUT }, async () => {
      for (const [size, blocks] of [
        ["1024", 70000],
        ["4096", 1100000],
      ] as const) {
        const image = make("far.img", "16M", "-b", size)
        const out = await guest(
          [image],
          [
            "mount /dev/vda /mnt",
            `dd if=/bin/puppybox of=/mnt/far bs=${size} count=9 seek=${blocks}`,
            `dd if=/mnt/far of=/mnt/back bs=${size} skip=${blocks}`,
            `dd if=/mnt/far of=/mnt/hole bs=${size} skip=300 count=2`,
            "cp /mnt/far /mnt/never & sleep 0.1; kill $!; rm /mnt/never",
            `truncate ${(blocks + 4) * Number(size)} /mnt/far`,
            "ls -l /mnt",
          ],
          ...on,
        )
        clean(image)
        const copy = dump(image, "/back")
        expect(readFileSync(join(copy, "back")).length, out).toBe(9 * Number(size))
        expect(out).toContain(` ${(blocks + 4) * Number(size)} far`)
        const stat = run("debugfs", "-R", "stat /far", image)
        expect(stat).toContain(`Size: ${(blocks + 4) * Number(size)}`)
        expect(stat).toMatch(/\(TIND\)/)
      }
    })

    it("gives up what is open and has no name when the power goes", { timeout: TIMEOUT }, async () => {
      const image = make("open.img", "16M")
      await guest(
        [image],
        [
          ...["mount /dev/vda /mnt", "cp /bin/puppybox /mnt/box", "/bin/sleep 100 < /mnt/box &", "sleep 0.2"],
          "rm /mnt/box",
        ],
        ...on,
      )
      clean(image)
      expect(readdirSync(dump(image, "/"))).toEqual(["lost+found"])
    })

    it("runs programs from it, and keeps it busy while somebody is there", { timeout: TIMEOUT }, async () => {
      const image = make("programs.img", "16M")
      const out = await guest(
        [image],
        [
          ...[
            "mount /dev/vda /mnt",
            "cp /bin/puppybox /mnt/uname",
            "/mnt/uname",
            "cd /mnt",
            "umount /mnt || echo busy",
          ],
          ...["cd /", "umount /mnt && echo free", "ls /mnt", "mount /dev/vda /mnt", "/mnt/uname -m"],
        ],
        ...on,
      )
      expect(out).toContain("puppy\n")
      expect(out).toContain("busy\n")
      expect(out).toContain("free\n")
      expect(out).toContain(arch === "i386" ? "i686\n" : "x86_64\n")
      clean(image)
    })

    it("reads and writes disks as they are", { timeout: TIMEOUT }, async () => {
      const bytes = Buffer.from(Array.from({ length: 300 * 1024 }, (_, i) => (i * i) >>> 7))
      for (const name of ["from.img", "to.img", "read.img"]) writeFileSync(file(name), Buffer.alloc(512 * 1024))
      writeFileSync(file("from.img"), bytes)
      const out = await guest(
        [file("from.img"), file("to.img"), `${file("read.img")},ro`],
        [
          ...[
            "dd if=/dev/vda of=/dev/vdb bs=7k conv=fsync,notrunc",
            "dd if=/dev/vda of=/dev/vdb bs=512 count=3 seek=700",
          ],
          ...["dd if=/dev/zero of=/dev/vdc count=1 || echo only read", "dd if=/dev/zero of=/dev/vda bs=4k || echo end"],
        ],
        ...on,
      )
      expect(out).toContain("only read")
      expect(out).toContain("No space left on device")
      const to = readFileSync(file("to.img"))
      expect(to.subarray(0, bytes.length).equals(bytes)).toBe(true)
      expect(to.subarray(700 * 512, 703 * 512).equals(bytes.subarray(0, 3 * 512))).toBe(true)
      expect(readFileSync(file("from.img")).every((byte) => byte === 0)).toBe(true)
    })
  })

  it("changes directories that have hash trees", { timeout: TIMEOUT }, async () => {
    mkdirSync(file("hashed/d"), { recursive: true })
    for (let n = 0; n < 400; n++) writeFileSync(file(`hashed/d/name-of-some-length-${n}`), `${n}`)
    const image = make("hashed.img", "16M", "-b", "1024", "-d", file("hashed"))
    spawnSync("fsck.ext2", ["-fyD", image])
    expect(run("debugfs", "-R", "stat /d", image)).toContain("Flags: 0x1000")
    const numbers = Array.from({ length: 40 }, (_, n) => n)
    await guest(
      [image],
      [
        "mount /dev/vda /mnt",
        ...numbers.map((n) => `rm /mnt/d/name-of-some-length-${n * 9}`),
        ...numbers.map((n) => `echo ${n} > /mnt/d/new-${n}`),
      ],
    )
    clean(image)
    expect(readdirSync(join(dump(image, "/d"), "d")).length).toBe(400)
  })

  it("refuses what it does not know, and only reads what it could break", { timeout: TIMEOUT }, async () => {
    run("mke2fs", "-q", "-t", "ext4", "-F", file("ext4.img"), "16M")
    const huge = make("huge.img", "16M", "-O", "huge_file")
    const used = make("used.img", "16M")
    run("debugfs", "-w", "-R", "ssv state 0", used)
    writeFileSync(file("none.img"), Buffer.alloc(1 << 20))
    const images = [file("ext4.img"), huge, used, file("none.img")]
    const before = images.map((image) => createHash("sha256").update(readFileSync(image)).digest("hex"))
    const out = await guest(images, [
      ...["mkdir /b", "mkdir /c", "mount /dev/vda /mnt || echo no a", "mount /dev/vdb /b && echo yes b"],
      ...["echo x > /b/x || echo cannot b", "mount /dev/vdc /c && echo yes c", "mkdir /c/x || echo cannot c"],
      ...["mount /dev/vdd /mnt || echo no d", "cat /proc/mounts", "dmesg"],
    ])
    expect(out).toMatch(/vda: not mounted: incompatible features/)
    expect(out).toMatch(/vdb: features that can only be read/)
    expect(out).toMatch(/vdc: was not unmounted/)
    expect(out).toMatch(/vdd: not mounted: no ext2/)
    for (const word of ["no a", "yes b", "cannot b", "yes c", "cannot c", "no d"])
      expect(out).toMatch(new RegExp(`^${word}$`, "m"))
    expect(out).toContain("/dev/vdb /b ext2 ro")
    expect(images.map((image) => createHash("sha256").update(readFileSync(image)).digest("hex"))).toEqual(before)
  })

  const notHere = noQemu ?? (gasAvailable() ? undefined : "gcc is not here")
  if (notHere !== undefined) console.log(`ext2 under QEMU is not tested: ${notHere}`)
  describe.skipIf(notHere !== undefined)("under QEMU", () => {
    beforeAll(async () => {
      await buildImages(work, [...ARCHES.map(kernelImage), ...ARCHES.map(initramfsImage)])
      await buildLoader(file("loader.elf"))
    }, TIMEOUT)

    it.each(ARCHES)("on %s", { timeout: TIMEOUT }, async (arch) => {
      const image = make("qemu.img", "40M", "-d", file("tree"))
      writeFileSync(file("second.img"), Buffer.alloc(1 << 20))
      const script = [
        ...["#!/bin/sh", "mount /dev/vda /mnt", "mkdir /mnt/copy", "cp -r /mnt/root /mnt/copy"],
        ...["dd if=/bin/puppybox of=/dev/vdb bs=4k count=5", "fsync /mnt/copy", "rm /mnt/copy/root/small", ""],
      ].join("\n")
      // The archive's last member says that it is the last; ours comes before that.
      const archive = readFileSync(file(initramfsImage(arch)))
      const end = archive.lastIndexOf("070701", archive.indexOf("TRAILER!!!"))
      const more = cpio([{ kind: "file", path: "script", mode: 0o755, bytes: Buffer.from(script) }])
      writeFileSync(file("qemu.cpio"), Buffer.concat([archive.subarray(0, end), more]))
      const disk = (name: string) => [
        ...["-drive", `file=${file(name)},if=none,id=${name},format=raw`],
        ...["-device", `virtio-blk-pci,drive=${name},disable-legacy=on`],
      ]
      const out = await boot({
        arch,
        memory: "64",
        loader: file("loader.elf"),
        kernel: file(kernelImage(arch)),
        initramfs: file("qemu.cpio"),
        append: "init=/script",
        devices: ["-serial", "stdio", ...disk("qemu.img"), ...disk("second.img")],
      })
      expect(out).toContain("20480 bytes")
      clean(image)
      const copy = describeTree(join(dump(image, "/copy"), "copy/root"))
      expect([...copy, ...describeTree(file("tree/root")).filter((line) => line.startsWith("small "))].sort()).toEqual(
        describeTree(file("tree/root")),
      )
      expect(readFileSync(file("second.img")).subarray(1, 4).toString()).toBe("ELF")
    })
  })
})

/** Files of every kind and size, under `root` in the folder. */
const tree = (folder: string): void => {
  const at = (name: string) => join(folder, "root", name)
  const bytes = (n: number) => Buffer.from(Array.from({ length: n }, (_, i) => (i * 2654435761) >>> 13))
  mkdirSync(at("a/b/c/d"), { recursive: true })
  mkdirSync(at("empty"))
  mkdirSync(at("many"))
  writeFileSync(at("nothing"), "")
  writeFileSync(at("small"), "small\n")
  // 12 direct blocks, one level of indirection, two.
  for (const size of [1023, 1024, 1025, 12 * 1024, 12 * 4096 + 1, 300 * 1024, 5 << 20])
    writeFileSync(at(`a/size-${size}`), bytes(size))
  writeFileSync(at("a/b/c/d/deep"), bytes(100))
  writeFileSync(at(`many/${"n".repeat(180)}`), "a long name")
  for (let n = 0; n < 150; n++) writeFileSync(at(`many/file-${n}`), bytes(n * 11))
  symlinkSync("small", at("fast"))
  symlinkSync("../".repeat(30) + "nowhere", at("a/slow"))
  linkSync(at("small"), at("a/hard"))
  writeFileSync(at("holes"), "start")
  truncateSync(at("holes"), 100_000)
}

/** One line for each file: what a copy must have too. */
const describeTree = (folder: string): ReadonlyArray<string> =>
  readdirSync(folder, { withFileTypes: true, recursive: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name)
      const name = relative(folder, path)
      if (entry.isDirectory()) return `${name} directory`
      if (entry.isSymbolicLink()) return `${name} -> ${readlinkSync(path)}`
      return `${name} ${createHash("sha256").update(readFileSync(path)).digest("hex")}`
    })
    .sort()
