SUMMARY = "The system of a gateway"
DESCRIPTION = "Read-only, without logins, with a data partition and two slots for updates."
# nooelint: oelint.vars.homepageping - the public address is not fixed yet
HOMEPAGE = "https://kakou.example"
BUGTRACKER = "https://kakou.example/issues"
SECTION = "images"
CVE_PRODUCT = "kakou"
LICENSE = "Apache-2.0 | MIT"

inherit core-image features_check

REQUIRED_DISTRO_FEATURES = "systemd usrmerge"

IMAGE_FEATURES += "read-only-rootfs"
# Whatever local.conf asks for: this image has no login. For one that has, write another recipe.
IMAGE_FEATURES:remove = "allow-empty-password \
                         allow-root-login \
                         debug-tweaks \
                         empty-root-password \
                         package-management \
                         serial-autologin-root \
                         ssh-server-dropbear \
                         ssh-server-openssh"

# Updates come with meta-rauc. The image without that layer serves to look at it, and says so.
KAKOU_UPDATE = "${@bb.utils.contains('BBFILE_COLLECTIONS', 'rauc', 'kakou-update', '', d)}"

# The kernel is part of a slot, so that an update brings it too.
IMAGE_INSTALL = "packagegroup-core-boot \
                 packagegroup-kakou \
                 kernel-image \
                 ${KAKOU_UPDATE} \
                 ${CORE_IMAGE_EXTRA_INSTALL}"
IMAGE_LINGUAS = ""
# It would call every system good that starts; kakou-mark-good.service waits for the daemon.
BAD_RECOMMENDATIONS += "rauc-mark-good"

# ext4 for the bundle, wic for a new disk. Nobody writes to a slot: it needs no journal.
IMAGE_FSTYPES = "ext4 wic.zst wic.bmap"
# nooelint: oelint.vars.specific - the name of a kind of image
EXTRA_IMAGECMD:ext4 = "-i 4096 -O ^has_journal"

WKS_FILE ?= "kakou.wks.in"
# Nothing but our own file needs our boot partition.
WKS_FILE_DEPENDS:append = " ${@bb.utils.contains('WKS_FILE', 'kakou.wks.in', 'kakou-boot', '', d)}"
# A slot on a new disk, in MiB; what does not fit into it is no update.
# nooelint: oelint.vars.mispell.unknown - the wks file has it too
KAKOU_SLOT_SIZE ?= "512"
IMAGE_ROOTFS_MAXSIZE = "${@int('${KAKOU_SLOT_SIZE}') * 1024}"
# The data partition on a new disk, in MiB.
# nooelint: oelint.vars.mispell.unknown - the wks file has it
KAKOU_DATA_SIZE ?= "1024"

ROOTFS_POSTPROCESS_COMMAND:append = " kakou_first_process kakou_no_logins kakou_say_what_is_missing"

# kakou-preinit hands over to systemd.
kakou_first_process[doc] = "Puts kakou-preinit before systemd"
kakou_first_process() {
    ln -sf kakou-preinit ${IMAGE_ROOTFS}${base_sbindir}/init
}

kakou_no_logins[doc] = "Takes away every way to sign in, and looks whether one is left"
kakou_no_logins() {
    units=${IMAGE_ROOTFS}${sysconfdir}/systemd/system
    rm -rf $units/getty.target.wants
    # The last: a scanner that is a keyboard must not restart the box.
    for unit in autovt@ console-getty container-getty@ debug-shell getty@ serial-getty@; do
        ln -sf /dev/null $units/$unit.service
    done
    ln -sf /dev/null $units/ctrl-alt-del.target

    sed -i 's/^\([^:]*\):[^:]*:/\1:!*:/' ${IMAGE_ROOTFS}${sysconfdir}/shadow
    if ! grep -q '^root:!\*:' ${IMAGE_ROOTFS}${sysconfdir}/shadow; then
        bbfatal "root is not locked"
    fi
    for server in sshd dropbear telnetd; do
        if [ -e ${IMAGE_ROOTFS}${sbindir}/$server ]; then
            bbfatal "$server is in the image: something in IMAGE_INSTALL brings it"
        fi
    done
}

kakou_say_what_is_missing[doc] = "Warns of an image that is for looking at only"
kakou_say_what_is_missing() {
    if ${@bb.utils.contains('OVERRIDES', 'kakou-os', 'false', 'true', d)}; then
        bbwarn "The distribution does not require conf/distro/include/kakou.inc: the kernel may lack what a gateway needs"
    fi
    if [ -z "${KAKOU_UPDATE}" ]; then
        bbwarn "meta-rauc is not among the layers: this image cannot be updated"
    fi
}
