# nooelint: oelint.var.bbclassextend - for the gateway alone
SUMMARY = "Gateway of a checkpoint"
DESCRIPTION = "Reads codes, measures temperature, gives a verdict, opens the barrier, keeps the evidence and sends events to a central side: the daemon kakoud and the command kakou."
# nooelint: oelint.vars.homepageping - the public address is not fixed yet
HOMEPAGE = "https://kakou.example"
BUGTRACKER = "https://kakou.example/issues"
SECTION = "net"
CVE_PRODUCT = "kakou"
LICENSE = "Apache-2.0 | MIT"
LIC_FILES_CHKSUM = "file://LICENSE-APACHE;md5=b592c0b3af693cf03fc5df0277e8350e \
                    file://LICENSE-MIT;md5=dc7af98b9df98bf31adb8881b96caefc"

require kakou-crates.inc

# Where your copy of the source is. A tree on the disk: EXTERNALSRC:pn-kakou, see the README of this layer.
KAKOU_SRC_URI ?= "git://git.kakou.example/kakou.git;protocol=https;branch=main"
KAKOU_SRCREV ?= "e75ea03d4c385a098d5438d057763bd25e046acd"
# The folder has the name that S expects, in every release of OpenEmbedded-Core.
SRC_URI += "${KAKOU_SRC_URI};destsuffix=${BP}"
SRCREV = "${KAKOU_SRCREV}"

inherit cargo cargo-update-recipe-crates systemd useradd

# The list of crates comes from the product's lock file alone: the fuzzers have one of their own.
CARGO_LOCK_SRC_DIR = "${WORKDIR}/lock"
do_update_crates:prepend() {
    install -D -m 0644 ${S}/Cargo.lock ${CARGO_LOCK_SRC_DIR}/Cargo.lock
}
do_update_crates:append() {
    sed -i '/^SRC_URI += /i # nooelint: oelint.vars.inconspaces, oelint.vars.notneededspace' ${THISDIR}/${BPN}-crates.inc
}

CARGO_BUILD_FLAGS += "--package kakou-gateway --bins"
# The build system takes debug information out of binaries itself, and keeps it.
export CARGO_PROFILE_RELEASE_STRIP = "none"

do_install:append() {
    install -d ${D}${systemd_system_unitdir}
    install -m 0644 ${S}/systemd/*.path ${S}/systemd/*.service ${S}/systemd/*.mount ${D}${systemd_system_unitdir}
    install -D -m 0644 ${S}/systemd/sysusers/kakou.conf ${D}${nonarch_libdir}/sysusers.d/kakou.conf
    install -D -m 0644 ${S}/systemd/tmpfiles/kakou.conf ${D}${nonarch_libdir}/tmpfiles.d/kakou.conf
    install -D -m 0644 ${S}/systemd/modules-load/kakou.conf ${D}${nonarch_libdir}/modules-load.d/kakou.conf
    install -D -m 0644 ${S}/systemd/udev/70-kakou.rules ${D}${nonarch_base_libdir}/udev/rules.d/70-kakou.rules
    for kind in system journald; do
        for file in ${S}/systemd/$kind.conf.d/*.conf; do
            install -D -m 0644 $file ${D}${nonarch_libdir}/systemd/$kind.conf.d/$(basename $file)
        done
    done
    # It may name officers and keys: for root and the daemon.
    install -D -m 0640 ${S}/systemd/kakou.toml ${D}${sysconfdir}/kakou/kakou.toml
    chown root:kakou ${D}${sysconfdir}/kakou/kakou.toml
}

# The daemon with all it needs, and the command for installers and operators.
PACKAGE_BEFORE_PN = "${PN}-gateway ${PN}-tools"

# The number stays the same in every image: what it owns is on the data partition.
KAKOU_UID ?= "790"
USERADD_PACKAGES = "${PN}-gateway"
GROUPADD_PARAM:${PN}-gateway = "--system --gid ${KAKOU_UID} kakou"
USERADD_PARAM:${PN}-gateway = "--system --uid ${KAKOU_UID} --gid kakou \
                               --home-dir ${localstatedir}/lib/kakou --no-create-home --shell /sbin/nologin kakou"

SYSTEMD_PACKAGES = "${PN}-gateway"
SYSTEMD_SERVICE:${PN}-gateway = "kakou-reboot.path kakoud.service"

FILES:${PN}-gateway += "${bindir}/kakoud \
                        ${sysconfdir}/kakou \
                        ${systemd_system_unitdir} \
                        ${nonarch_libdir}/modules-load.d \
                        ${nonarch_libdir}/systemd \
                        ${nonarch_libdir}/sysusers.d \
                        ${nonarch_libdir}/tmpfiles.d \
                        ${nonarch_base_libdir}/udev"
FILES:${PN}-tools += "${bindir}/kakou"
ALLOW_EMPTY:${PN} = "1"

CONFFILES:${PN}-gateway += "${sysconfdir}/kakou/kakou.toml"

RDEPENDS:${PN} = "${PN}-gateway ${PN}-tools"
# mqtts:// to a broker whose certificate a public authority signed.
RRECOMMENDS:${PN}-gateway = "ca-certificates"
