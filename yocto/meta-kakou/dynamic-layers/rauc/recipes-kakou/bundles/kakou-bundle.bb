# nooelint: oelint.file.underscores, oelint.var.mandatoryvar.SRC_URI, oelint.var.bbclassextend - it is made of an image
SUMMARY = "Signed update of a gateway"
DESCRIPTION = "The system of kakou-image as a bundle that RAUC installs into the other slot."
# nooelint: oelint.vars.homepageping - the public address is not fixed yet
HOMEPAGE = "https://kakou.example"
BUGTRACKER = "https://kakou.example/issues"
SECTION = "images"
CVE_PRODUCT = "kakou"
LICENSE = "Apache-2.0 | MIT"

inherit bundle

KAKOU_IMAGE_VERSION ?= "0.1.0"

# nooelint: oelint.vars.mispell.unknown
RAUC_BUNDLE_COMPATIBLE = "kakou-${MACHINE}"
# nooelint: oelint.vars.mispell.unknown
RAUC_BUNDLE_VERSION = "${KAKOU_IMAGE_VERSION}"
# nooelint: oelint.vars.mispell.unknown
RAUC_BUNDLE_DESCRIPTION = "Kakou ${KAKOU_IMAGE_VERSION}"
# verity: each block is checked when it is read, so that a bundle can be installed from a server.
# nooelint: oelint.vars.mispell.unknown
RAUC_BUNDLE_FORMAT = "verity"

# nooelint: oelint.vars.mispell.unknown
RAUC_BUNDLE_SLOTS = "rootfs"
# nooelint: oelint.vars.mispell.unknown - its end is the name of the slot
RAUC_SLOT_rootfs = "kakou-image"
# nooelint: oelint.vars.mispell.unknown
RAUC_SLOT_rootfs[fstype] = "ext4"

# RAUC_KEY_FILE and RAUC_CERT_FILE sign it; without them the task stops.
