# nooelint: oelint.var.bbclassextend - for the gateway alone
SUMMARY = "A read-only system that keeps its data"
DESCRIPTION = "Mounts the data partition, puts onto it what has to outlive an update, gives the box an identity that stays, and restarts where a box with a keyboard would wait for somebody."
SECTION = "base"

require recipes-kakou/include/kakou-own.inc

SRC_URI = "file://check-data \
           file://data-setup \
           file://data.mount \
           file://emergency.conf \
           file://etc-kakou.mount \
           file://kakou-data.service \
           file://kakou-preinit \
           file://kakoud-data.conf \
           file://sysctl.conf \
           file://var-lib-kakou.mount \
           file://var-lib-systemd-timesync.mount \
           file://var-volatile-log-journal.mount"

S = "${UNPACKDIR}"

inherit allarch systemd features_check

REQUIRED_DISTRO_FEATURES = "systemd usrmerge"

do_compile[noexec] = "1"

# Servers of time, separated by spaces; none: those that DHCP names, else those of systemd.
KAKOU_NTP ?= ""

do_install() {
    install -D -m 0755 ${S}/kakou-preinit ${D}${base_sbindir}/kakou-preinit
    install -D -m 0755 ${S}/check-data ${D}${libexecdir}/kakou/check-data
    install -D -m 0755 ${S}/data-setup ${D}${libexecdir}/kakou/data-setup

    install -d ${D}${systemd_system_unitdir}
    install -m 0644 ${S}/*.mount ${S}/*.service ${D}${systemd_system_unitdir}
    install -D -m 0644 ${S}/kakoud-data.conf ${D}${systemd_system_unitdir}/kakoud.service.d/60-data.conf
    for unit in emergency rescue; do
        install -D -m 0644 ${S}/emergency.conf ${D}${systemd_system_unitdir}/$unit.service.d/50-kakou.conf
    done

    install -D -m 0644 ${S}/sysctl.conf ${D}${nonarch_libdir}/sysctl.d/60-kakou.conf
    if [ -n "${KAKOU_NTP}" ]; then
        install -d ${D}${nonarch_libdir}/systemd/timesyncd.conf.d
        printf '[Time]\nNTP=%s\n' "${KAKOU_NTP}" > ${D}${nonarch_libdir}/systemd/timesyncd.conf.d/50-kakou.conf
    fi

    # The place to mount it has to exist in a system that nobody can write to.
    install -d ${D}/data
}

SYSTEMD_SERVICE:${PN} = "data.mount \
                         etc-kakou.mount \
                         kakou-data.service \
                         var-lib-kakou.mount \
                         var-lib-systemd-timesync.mount \
                         var-volatile-log-journal.mount"

FILES:${PN} += "/data \
                ${nonarch_libdir}/sysctl.d \
                ${nonarch_libdir}/systemd \
                ${systemd_system_unitdir}"

RDEPENDS:${PN} = "e2fsprogs-e2fsck \
                  util-linux-fsck \
                  util-linux-mount"
