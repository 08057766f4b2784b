# nooelint: oelint.var.bbclassextend - for the gateway alone
SUMMARY = "Updates that go back when they fail"
DESCRIPTION = "The configuration of RAUC, and what calls a new system good: the daemon that is ready, in time."
SECTION = "base"

require recipes-kakou/include/kakou-own.inc

SRC_URI = "file://70-kakou-update.rules \
           file://boot-deadline \
           file://efi.automount \
           file://efi.mount \
           file://kakou-boot-deadline.service \
           file://kakou-boot-deadline.timer \
           file://kakou-mark-good.service \
           file://kakou-update-restart.service \
           file://kakou-update-restart.timer \
           file://kakou-update-usb@.service \
           file://kakou-update.service \
           file://kakou-update.timer \
           file://mark-good \
           file://system-info \
           file://system.conf \
           file://update \
           file://update-installed \
           file://update-restart"

S = "${UNPACKDIR}"

inherit systemd features_check

REQUIRED_DISTRO_FEATURES = "systemd"

# The name of the machine is in it.
PACKAGE_ARCH = "${MACHINE_ARCH}"

do_compile[noexec] = "1"

KAKOU_IMAGE_VERSION ?= "0.1.0"
KAKOU_BOOTLOADER ?= "grub"
# Certificates that bundles have to be signed under: a PEM file on the machine that builds.
KAKOU_RAUC_KEYRING ?= ""
# Where a gateway looks for a bundle each day; nothing: it does not look.
KAKOU_UPDATE_URL ?= ""
# When an installed update is started, in local time; and how long it has to reach ready.
KAKOU_RESTART_AT ?= "03:30"
KAKOU_BOOT_DEADLINE ?= "10min"
KAKOU_SLOT_A ?= "/dev/disk/by-partlabel/kakou-rootfs-a"
KAKOU_SLOT_B ?= "/dev/disk/by-partlabel/kakou-rootfs-b"

do_install[file-checksums] += "${@'${KAKOU_RAUC_KEYRING}:True' if d.getVar('KAKOU_RAUC_KEYRING') else ''}"
do_install() {
    if [ ! -s "${KAKOU_RAUC_KEYRING}" ]; then
        bbfatal "KAKOU_RAUC_KEYRING does not name the certificates that updates are signed under"
    fi
    install -D -m 0644 "${KAKOU_RAUC_KEYRING}" ${D}${nonarch_libdir}/rauc/keyring.pem
    install -m 0644 ${S}/system.conf ${D}${nonarch_libdir}/rauc/system.conf
    install -D -m 0644 ${S}/70-kakou-update.rules ${D}${nonarch_base_libdir}/udev/rules.d/70-kakou-update.rules

    install -d ${D}${libexecdir}/kakou ${D}${datadir}/kakou ${D}${systemd_system_unitdir}
    for script in boot-deadline mark-good system-info update update-installed update-restart; do
        install -m 0755 ${S}/$script ${D}${libexecdir}/kakou/$script
    done
    printf '%s\n' '${KAKOU_IMAGE_VERSION}' > ${D}${datadir}/kakou/image-version
    install -m 0644 ${S}/kakou-*.service ${S}/kakou-*.timer ${D}${systemd_system_unitdir}

    if [ "${KAKOU_BOOTLOADER}" = grub ]; then
        install -d ${D}/efi
        install -m 0644 ${S}/efi.mount ${S}/efi.automount ${D}${systemd_system_unitdir}
    else
        sed -i '/^grubenv=/d' ${D}${nonarch_libdir}/rauc/system.conf
    fi
    sed -i -e 's|@BOOTLOADER@|${KAKOU_BOOTLOADER}|' \
           -e 's|@COMPATIBLE@|kakou-${MACHINE}|' \
           -e 's|@SLOT_A@|${KAKOU_SLOT_A}|' \
           -e 's|@SLOT_B@|${KAKOU_SLOT_B}|' \
           ${D}${nonarch_libdir}/rauc/system.conf
    sed -i -e 's|@AT@|${KAKOU_RESTART_AT}|' \
           -e 's|@DEADLINE@|${KAKOU_BOOT_DEADLINE}|' \
           -e 's|@URL@|${KAKOU_UPDATE_URL}|' \
           ${D}${systemd_system_unitdir}/kakou-*
}

SYSTEMD_SERVICE:${PN} = "kakou-boot-deadline.timer \
                         kakou-mark-good.service \
                         kakou-update-restart.timer \
                         ${@'kakou-update.timer' if d.getVar('KAKOU_UPDATE_URL') else ''} \
                         ${@bb.utils.contains('KAKOU_BOOTLOADER', 'grub', 'efi.automount', '', d)}"

FILES:${PN} += "/efi \
                ${nonarch_base_libdir}/udev \
                ${nonarch_libdir}/rauc \
                ${systemd_system_unitdir}"

# The tool that RAUC talks to the boot loader with.
KAKOU_BOOTLOADER_TOOL = "${@bb.utils.contains('KAKOU_BOOTLOADER', 'barebox', 'dt-utils-barebox-state', '', d)} \
                         ${@bb.utils.contains('KAKOU_BOOTLOADER', 'efi', 'efibootmgr', '', d)} \
                         ${@bb.utils.contains('KAKOU_BOOTLOADER', 'grub', 'grub-editenv', '', d)} \
                         ${@bb.utils.contains('KAKOU_BOOTLOADER', 'uboot', 'libubootenv-bin', '', d)}"
RDEPENDS:${PN} = "${KAKOU_BOOTLOADER_TOOL} \
                  kakou-gateway \
                  kakou-system \
                  rauc"
# For bundles from a server.
RRECOMMENDS:${PN} = "ca-certificates"
# Only where it is asked for, as kakou.inc does: the layer alone changes nothing of meta-rauc.
RPROVIDES:${PN} = "${@bb.utils.contains('PREFERRED_RPROVIDER_virtual-rauc-conf', 'kakou-update', 'virtual-rauc-conf', '', d)}"
