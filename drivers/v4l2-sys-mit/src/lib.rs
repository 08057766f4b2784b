//! The part of `linux/videodev2.h` that the crate `v4l` 0.14 uses, with the names that bindgen gives it.
//!
//! The sizes are checked when it is compiled for 64 bits: a wrong one would make another ioctl number.
//! x86-64 and AArch64 have the same layout.
#![expect(
    non_camel_case_types,
    non_upper_case_globals,
    reason = "the names of the C header, as bindgen writes them"
)]

use std::os::raw::{c_char, c_long, c_void};

// Kernel timeval. 64-bit: 2 x i64. 32-bit: 2 x i32, the VIDIOC_*_TIME32 ABI, always in the kernel
// unless CONFIG_COMPAT_32BIT_TIME is off (then use i64 here: same code, v4l2_buffer is 80 bytes).
pub type time_t = c_long;
pub type v4l2_std_id = u64;

pub const V4L2_CTRL_FLAG_NEXT_CTRL: u32 = 0x8000_0000;
pub const V4L2_CTRL_FLAG_NEXT_COMPOUND: u32 = 0x4000_0000;
pub const v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_DISCRETE: u32 = 1;
pub const v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_CONTINUOUS: u32 = 2;
pub const v4l2_frmsizetypes_V4L2_FRMSIZE_TYPE_STEPWISE: u32 = 3;
pub const v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_DISCRETE: u32 = 1;
pub const v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_CONTINUOUS: u32 = 2;
pub const v4l2_frmivaltypes_V4L2_FRMIVAL_TYPE_STEPWISE: u32 = 3;

macro_rules! c { ($($(#[$m:meta])* $k:ident $n:ident { $($f:ident: $t:ty),* $(,)? })*) => {
    $(#[repr(C)] $(#[$m])* #[derive(Clone, Copy)] pub $k $n { $(pub $f: $t),* })* } }
c! {
    struct timeval { tv_sec: time_t, tv_usec: time_t }
    struct v4l2_fract { numerator: u32, denominator: u32 }
    struct v4l2_capability { driver: [u8; 16], card: [u8; 32], bus_info: [u8; 32], version: u32,
        capabilities: u32, device_caps: u32, reserved: [u32; 3] }
    struct v4l2_pix_format { width: u32, height: u32, pixelformat: u32, field: u32,
        bytesperline: u32, sizeimage: u32, colorspace: u32, priv_: u32, flags: u32,
        ycbcr_enc: u32, quantization: u32, xfer_func: u32 }
    // `_align` stands for the pointers of v4l2_window: it gives the union its alignment.
    union v4l2_format__bindgen_ty_1 { pix: v4l2_pix_format, raw_data: [u8; 200],
        _align: *mut c_void }
    struct v4l2_format { type_: u32, fmt: v4l2_format__bindgen_ty_1 }
    struct v4l2_fmtdesc { index: u32, type_: u32, flags: u32, description: [u8; 32],
        pixelformat: u32, mbus_code: u32, reserved: [u32; 3] }
    struct v4l2_frmsize_discrete { width: u32, height: u32 }
    struct v4l2_frmsize_stepwise { min_width: u32, max_width: u32, step_width: u32,
        min_height: u32, max_height: u32, step_height: u32 }
    union v4l2_frmsizeenum__bindgen_ty_1 { discrete: v4l2_frmsize_discrete,
        stepwise: v4l2_frmsize_stepwise }
    struct v4l2_frmsizeenum { index: u32, pixel_format: u32, type_: u32,
        __bindgen_anon_1: v4l2_frmsizeenum__bindgen_ty_1, reserved: [u32; 2] }
    struct v4l2_frmival_stepwise { min: v4l2_fract, max: v4l2_fract, step: v4l2_fract }
    union v4l2_frmivalenum__bindgen_ty_1 { discrete: v4l2_fract, stepwise: v4l2_frmival_stepwise }
    struct v4l2_frmivalenum { index: u32, pixel_format: u32, width: u32, height: u32, type_: u32,
        __bindgen_anon_1: v4l2_frmivalenum__bindgen_ty_1, reserved: [u32; 2] }
    struct v4l2_captureparm { capability: u32, capturemode: u32, timeperframe: v4l2_fract,
        extendedmode: u32, readbuffers: u32, reserved: [u32; 4] }
    struct v4l2_outputparm { capability: u32, outputmode: u32, timeperframe: v4l2_fract,
        extendedmode: u32, writebuffers: u32, reserved: [u32; 4] }
    union v4l2_streamparm__bindgen_ty_1 { capture: v4l2_captureparm, output: v4l2_outputparm,
        raw_data: [u8; 200] }
    struct v4l2_streamparm { type_: u32, parm: v4l2_streamparm__bindgen_ty_1 }
    struct v4l2_requestbuffers { count: u32, type_: u32, memory: u32, capabilities: u32,
        flags: u8, reserved: [u8; 3] }
    struct v4l2_timecode { type_: u32, flags: u32, frames: u8, seconds: u8, minutes: u8, hours: u8,
        userbits: [u8; 4] }
    union v4l2_buffer__bindgen_ty_1 { offset: u32, userptr: std::os::raw::c_ulong,
        planes: *mut c_void, fd: i32 }
    struct v4l2_buffer { index: u32, type_: u32, bytesused: u32, flags: u32, field: u32,
        timestamp: timeval, timecode: v4l2_timecode, sequence: u32, memory: u32,
        m: v4l2_buffer__bindgen_ty_1, length: u32, reserved2: u32, request_fd: i32 }
    struct v4l2_control { id: u32, value: i32 }
    struct v4l2_query_ext_ctrl { id: u32, type_: u32, name: [c_char; 32], minimum: i64,
        maximum: i64, step: u64, default_value: i64, flags: u32, elem_size: u32, elems: u32,
        nr_of_dims: u32, dims: [u32; 4], reserved: [u32; 32] }
    union v4l2_querymenu__bindgen_ty_1 { name: [u8; 32], value: i64 }
    #[repr(packed)] struct v4l2_querymenu { id: u32, index: u32,
        __bindgen_anon_1: v4l2_querymenu__bindgen_ty_1, reserved: u32 }
    union v4l2_ext_control__bindgen_ty_1 { value: i32, value64: i64, string: *mut c_char,
        p_u8: *mut u8, p_u16: *mut u16, p_u32: *mut u32, ptr: *mut c_void }
    #[repr(packed)] struct v4l2_ext_control { id: u32, size: u32, reserved2: [u32; 1],
        __bindgen_anon_1: v4l2_ext_control__bindgen_ty_1 }
    // Only sized, by v4l::v4l2::vidioc; v4l has a struct of its own for the call.
    struct v4l2_ext_controls { which: u32, count: u32, error_idx: u32, request_fd: i32,
        reserved: [u32; 1], controls: *mut v4l2_ext_control }
}

// Named by v4l::v4l2::vidioc for the size in an ioctl number that v4l never issues.
macro_rules! opaque { ($($n:ident: $b:expr, $w:ty;)*) => {
    $(#[repr(C)] #[derive(Clone, Copy)] pub struct $n { _b: [$w; $b / size_of::<$w>()] })* } }
const P: usize = size_of::<*const c_void>();
opaque! {
    v4l2_framebuffer: 40 + P, usize; v4l2_exportbuffer: 64, u32; v4l2_standard: 72, u64;
    v4l2_input: 80, u64; v4l2_output: 72, u64; v4l2_tuner: 84, u32; v4l2_audio: 52, u32;
    v4l2_audioout: 52, u32; v4l2_queryctrl: 68, u32; v4l2_edid: 32 + P, usize;
    v4l2_modulator: 68, u32; v4l2_frequency: 44, u32; v4l2_cropcap: 44, u32; v4l2_crop: 20, u32;
    v4l2_jpegcompression: 140, u32; v4l2_sliced_vbi_cap: 116, u32; v4l2_enc_idx: 2072, u64;
    v4l2_encoder_cmd: 40, u64;
}

#[cfg(target_pointer_width = "64")]
const _: () = {
    macro_rules! size { ($($n:ident $s:literal;)*) => { $(assert!(size_of::<$n>() == $s);)* } }
    size! { v4l2_capability 104; v4l2_fmtdesc 64; v4l2_format 208; v4l2_pix_format 48;
    v4l2_requestbuffers 20; v4l2_buffer 88; v4l2_streamparm 204; v4l2_querymenu 44;
    v4l2_ext_control 20; v4l2_ext_controls 32; v4l2_query_ext_ctrl 232; v4l2_frmsizeenum 44;
    v4l2_frmivalenum 52; v4l2_framebuffer 48; v4l2_edid 40; v4l2_exportbuffer 64;
    v4l2_standard 72; v4l2_input 80; v4l2_output 72; v4l2_tuner 84; v4l2_audio 52;
    v4l2_audioout 52; v4l2_queryctrl 68; v4l2_modulator 68; v4l2_frequency 44; v4l2_cropcap 44;
    v4l2_crop 20; v4l2_jpegcompression 140; v4l2_sliced_vbi_cap 116; v4l2_enc_idx 2072;
    v4l2_encoder_cmd 40; }
    assert!(std::mem::offset_of!(v4l2_buffer, m) == 64);
    assert!(std::mem::offset_of!(v4l2_format, fmt) == 8);
};
