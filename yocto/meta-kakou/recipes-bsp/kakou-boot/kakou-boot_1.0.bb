# nooelint: oelint.var.bbclassextend - for the gateway alone
SUMMARY = "Boot partition with two slots, for UEFI"
DESCRIPTION = "GRUB and the script that chooses a slot, as an image of a partition. A slot has three starts to reach ready, then the other one is taken."
SECTION = "bootloaders"

require recipes-kakou/include/kakou-own.inc

DEPENDS += "dosfstools-native \
            grub-efi \
            mtools-native"

# nooelint: oelint.file.requirenotfound - it is in OpenEmbedded-Core
require conf/image-uefi.conf

SRC_URI = "file://grub.cfg"

S = "${UNPACKDIR}"
B = "${WORKDIR}/build"

inherit deploy nopackages

# The kernel, the console and the words for it are the machine's.
PACKAGE_ARCH = "${MACHINE_ARCH}"
COMPATIBLE_HOST = "(x86_64|i.86|arm|aarch64|riscv64).*-linux"

INHIBIT_DEFAULT_DEPS = "1"

# watchdog.open_timeout: a system that does not come so far as to take over the watchdog that the
# firmware started is reset. softlockup_panic: the same where no firmware did. fsck.repair: there is
# nobody to ask.
KAKOU_KERNEL_ARGS ?= "console=${KERNEL_CONSOLE} ro rootwait panic=10 softlockup_panic=1 fsck.repair=yes watchdog.open_timeout=120"

# In MiB.
KAKOU_BOOT_SIZE ?= "32"

do_install[noexec] = "1"

do_compile[depends] += "grub-efi:do_deploy"
do_compile() {
    sed -e 's|@KERNEL@|${KERNEL_IMAGETYPE}|' -e 's|@ARGS@|${KAKOU_KERNEL_ARGS}|' ${S}/grub.cfg > ${B}/grub.cfg

    # What GRUB and RAUC tell each other: both slots hold the same system, neither was tried yet. The
    # file has a fixed length, since GRUB overwrites it in place.
    printf '# GRUB Environment Block\nORDER=A B\nA_OK=1\nA_TRY=0\nB_OK=1\nB_TRY=0\n' > ${B}/grubenv
    while [ $(wc -c < ${B}/grubenv) -lt 1024 ]; do
        printf '#' >> ${B}/grubenv
    done

    rm -f ${B}/boot.vfat
    mkfs.vfat -C -n KAKOU-BOOT -i 4B414B4F ${B}/boot.vfat $(expr ${KAKOU_BOOT_SIZE} \* 1024)
    mmd -i ${B}/boot.vfat ::/EFI ::/EFI/BOOT
    mcopy -i ${B}/boot.vfat ${DEPLOY_DIR_IMAGE}/grub-efi-${EFI_BOOT_IMAGE} ::/EFI/BOOT/${EFI_BOOT_IMAGE}
    mcopy -i ${B}/boot.vfat ${B}/grub.cfg ${B}/grubenv ::/EFI/BOOT/
}
do_compile[cleandirs] = "${B}"

do_deploy() {
    install -D -m 0644 ${B}/boot.vfat ${DEPLOYDIR}/kakou-boot-${MACHINE}.vfat
}

addtask deploy after do_compile before do_build
