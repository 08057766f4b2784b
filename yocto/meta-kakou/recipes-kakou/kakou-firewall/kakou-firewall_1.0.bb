# nooelint: oelint.var.bbclassextend - for the gateway alone
SUMMARY = "Firewall of a gateway"
DESCRIPTION = "Closed from outside; out go MQTT, HTTPS, DNS and NTP. A site's own file opens the desk to its network."
SECTION = "net"

require recipes-kakou/include/kakou-own.inc

SRC_URI = "file://firewall \
           file://firewall.rules \
           file://kakou-firewall.service"

S = "${UNPACKDIR}"

inherit allarch systemd features_check

REQUIRED_DISTRO_FEATURES = "systemd"

do_compile[noexec] = "1"

do_install() {
    install -D -m 0755 ${S}/firewall ${D}${libexecdir}/kakou/firewall
    install -D -m 0644 ${S}/firewall.rules ${D}${datadir}/kakou/firewall.rules
    install -D -m 0644 ${S}/kakou-firewall.service ${D}${systemd_system_unitdir}/kakou-firewall.service
}

SYSTEMD_SERVICE:${PN} = "kakou-firewall.service"

FILES:${PN} += "${systemd_system_unitdir}"

# iptables, since OpenEmbedded-Core has it; nftables would need another layer. The rules are the same.
RDEPENDS:${PN} = "iptables \
                  iptables-modules"
