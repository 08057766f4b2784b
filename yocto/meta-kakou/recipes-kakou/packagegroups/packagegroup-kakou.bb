SUMMARY = "Everything a gateway runs"
DESCRIPTION = "The product, the data partition, the firewall, the time and the drivers of usual devices."
BUGTRACKER = "https://kakou.example/issues"
SECTION = "base"

# Kernel modules are the machine's.
PACKAGE_ARCH = "${MACHINE_ARCH}"

inherit packagegroup features_check

REQUIRED_DISTRO_FEATURES = "systemd"

RDEPENDS:${PN} = "kakou-firewall \
                  kakou-gateway \
                  kakou-system \
                  kakou-tools"

# A recommendation that a kernel has built in, or lacks, is passed over.
RRECOMMENDS:${PN} = "kernel-module-cdc-acm \
                     kernel-module-ch341 \
                     kernel-module-cp210x \
                     kernel-module-ftdi-sio \
                     kernel-module-i2c-dev \
                     kernel-module-nbd \
                     kernel-module-pl2303 \
                     kernel-module-uvcvideo"
