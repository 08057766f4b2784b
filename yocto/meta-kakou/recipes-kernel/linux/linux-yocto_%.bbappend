require recipes-kernel/linux/kakou-kernel.inc
