# What this machine is, one fact a line; sent over SSH and run by whatever sh there is (master/inspecting.py).
# Nothing here changes anything, and no line may fail the others.
say() { printf '%s=%s\n' "$1" "$(printf '%s' "$2" | tr '\n' ' ' | cut -c 1-300)"; }
text() { cat "$1" 2>/dev/null; }
PATH=$PATH:/usr/sbin:/sbin
export LC_ALL=C
say clock "$(date -u +%s)"
say system "$(uname -s)"
say kernel "$(uname -r)"
say kernel_arch "$(uname -m)"
say elf "$(head -c 40 /bin/sh 2>/dev/null | od -An -v -tx1 | tr -d ' \n')"
say dpkg "$(dpkg --print-architecture 2>/dev/null)"
say release "$(sed -n 's/^PRETTY_NAME=//p' /etc/os-release 2>/dev/null | tr -d '"')"
say model "$(text /proc/device-tree/model | tr -d '\000')"
say libc "$(getconf GNU_LIBC_VERSION 2>/dev/null || ls /lib/ld-musl-* 2>/dev/null)"
say cores "$(getconf _NPROCESSORS_ONLN 2>/dev/null)"
say memory_kib "$(sed -n 's/^MemTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo 2>/dev/null)"
say swap_kib "$(sed -n 's/^SwapTotal: *\([0-9]*\) kB/\1/p' /proc/meminfo 2>/dev/null)"
say disk_kib "$(df -Pk /var 2>/dev/null | awk 'NR == 2 { print $4 }')"
say controllers "$(text /sys/fs/cgroup/cgroup.controllers)"
say controllers_v1 "$(ls /sys/fs/cgroup 2>/dev/null | tr '\n' ' ')"
say command_line "$(text /proc/cmdline | tr ' ' '\n' | grep '^cgroup')"
say command_line_file "$(ls /boot/firmware/cmdline.txt /boot/cmdline.txt 2>/dev/null | head -n 1)"
say max_userns "$(text /proc/sys/user/max_user_namespaces)"
say unprivileged_userns "$(text /proc/sys/kernel/unprivileged_userns_clone)"
say apparmor_userns "$(text /proc/sys/kernel/apparmor_restrict_unprivileged_userns)"
say python "$(python3 --version 2>&1)"
say bubblewrap "$(bwrap --version 2>&1)"
say user "$(id -un)"
say root "$(if [ "$(id -u)" = 0 ]; then echo yes; elif sudo -n true 2>/dev/null; then echo sudo; else echo no; fi)"
say end yes
