"""longspan_cuda.so for Python: the structs of csrc/core/backend.h mirrored in ctypes, and its calls (cuda/abi.h)."""

import ctypes
import weakref
from ctypes import POINTER, Structure, c_bool, c_char_p, c_double, c_float, c_int, c_int64, c_size_t, c_uint8, c_void_p

import torch

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int32, torch.int64]


class TensorView(Structure):
    _fields_ = [("data", c_void_p), ("dtype", c_uint8), ("rank", c_int), ("shape", c_int64 * 8), ("strides", c_int64 * 8)]


def view(tensor, shape=None, strides=None):
    """What a kernel sees of a torch tensor; None is an absent one."""
    made = TensorView()
    if tensor is None:
        return made
    shape = list(tensor.shape if shape is None else shape)
    strides = list(tensor.stride() if strides is None else strides)
    # A tensor without elements has no address in torch; it is there all the same
    made.data = tensor.data_ptr() or 64
    made.dtype = DTYPES.index(tensor.dtype)
    made.rank = len(shape)
    made.shape[: len(shape)] = shape
    made.strides[: len(shape)] = strides
    return made


class KVCacheView(Structure):
    _fields_ = [
        ("slabs", POINTER(c_void_p)),
        ("dtype", c_uint8),
        ("numKVHeads", c_int),
        ("headDim", c_int),
        ("valueDim", c_int),
        ("keySets", c_int),
        ("keySet", c_int),
        ("length", c_int64),
    ]


class PackedWeight(Structure):
    _fields_ = [("data", c_void_p), ("dtype", c_uint8), ("outFeatures", c_int64), ("inFeatures", c_int64)]


class SequenceView(Structure):
    _fields_ = [(name, c_int64) for name in ("q", "k", "v", "out", "lse")] + [
        ("offset", c_int),
        ("pages", POINTER(c_int)),
    ]


class CopyArgs(Structure):
    _fields_ = [("in", TensorView), ("out", TensorView)]


class EmbeddingArgs(Structure):
    _fields_ = [("ids", TensorView), ("weight", TensorView), ("out", TensorView), ("badIndex", POINTER(c_int64))]


class NormArgs(Structure):
    _fields_ = [(name, TensorView) for name in ("x", "weight", "bias", "out")] + [
        ("epsilon", c_float),
        ("centre", c_bool),
    ]


class RopeArgs(Structure):
    _fields_ = [
        ("x", TensorView),
        ("positions", TensorView),
        ("frequencies64", POINTER(c_double)),
        ("numFrequencies", c_int64),
        ("attentionScale", c_float),
        ("interleaved", c_bool),
        ("positionStep", c_double),
        ("positionOffset", c_double),
        ("out", TensorView),
    ]


ACTIVATIONS = ["none", "silu", "gelu", "geluTanh", "relu"]


class GatedArgs(Structure):
    _fields_ = [("gate", TensorView), ("up", TensorView), ("out", TensorView), ("activation", c_uint8)]


class BinaryArgs(Structure):
    _fields_ = [("a", TensorView), ("b", TensorView), ("out", TensorView), ("op", c_uint8)]


class SoftmaxArgs(Structure):
    _fields_ = [("x", TensorView), ("out", TensorView)]


class NllArgs(Structure):
    _fields_ = [("logits", TensorView), ("targets", TensorView), ("out", TensorView), ("badIndex", POINTER(c_int64))]


class TopKArgs(Structure):
    _fields_ = [("x", TensorView), ("values", TensorView), ("indices", TensorView)]


class PackArgs(Structure):
    _fields_ = [("weight", TensorView), ("packed", c_void_p), ("dtype", c_uint8)]


class MatmulArgs(Structure):
    _fields_ = [
        ("x", TensorView),
        ("weight", PackedWeight),
        ("bias", TensorView),
        ("residual", TensorView),
        ("out", TensorView),
        ("activation", c_uint8),
    ]


class AttentionArgs(Structure):
    _fields_ = (
        [(name, TensorView) for name in ("q", "k", "v", "out", "lse")]
        + [("cache", KVCacheView), ("scale", c_float), ("softcap", c_float)]
        + [(name, TensorView) for name in ("alibiSlopes", "bias", "sinkLogits")]
        + [("pattern", c_void_p), ("queryScale", TensorView), ("distanceBias", TensorView), ("firstDistance", c_int)]
        + [("expireSpans", TensorView), ("expireRamp", c_float), ("offset", c_int), ("accumulate", c_bool)]
        + [("sequences", POINTER(SequenceView)), ("pageSize", c_int), ("normaliseKeys", c_bool), ("selfScore", c_float)]
    )


class MergeArgs(Structure):
    _fields_ = [
        ("parts", c_int),
        ("outs", POINTER(TensorView)),
        ("lses", POINTER(TensorView)),
        ("out", TensorView),
        ("lse", TensorView),
    ]


class CacheAppendArgs(Structure):
    _fields_ = [("cache", KVCacheView), ("position", c_int64), ("k", TensorView), ("v", TensorView), ("k2", TensorView)]


ROWS = {
    "copy": CopyArgs,
    "embedding": EmbeddingArgs,
    "norm": NormArgs,
    "rope": RopeArgs,
    "gated": GatedArgs,
    "binary": BinaryArgs,
    "softmax": SoftmaxArgs,
    "nll": NllArgs,
    "topK": TopKArgs,
    "pack": PackArgs,
    "matmul": MatmulArgs,
    "attention": AttentionArgs,
    "mergeAttention": MergeArgs,
    "cacheAppend": CacheAppendArgs,
}


class FlatPattern(Structure):  # LongspanPattern
    _fields_ = [
        ("kind", c_char_p),
        ("seqLenQ", c_int),
        ("seqLenKV", c_int),
        ("start", c_int),
        ("numbers", c_int * 8),
        ("lists", c_void_p * 2),
    ]


class DeviceCalls(Structure):
    _fields_ = [
        ("open", ctypes.CFUNCTYPE(c_int, c_int)),
        ("use", ctypes.CFUNCTYPE(c_int, c_int)),
        ("allocate", ctypes.CFUNCTYPE(c_void_p, c_int, c_size_t)),
        ("release", ctypes.CFUNCTYPE(None, c_int, c_void_p)),
        ("freeBytes", ctypes.CFUNCTYPE(c_int, c_int, POINTER(c_size_t), POINTER(c_size_t))),
        ("upload", ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)),
        ("download", ctypes.CFUNCTYPE(c_int, c_void_p, c_void_p, c_size_t)),
        ("zero", ctypes.CFUNCTYPE(c_int, c_void_p, c_size_t)),
        ("synchronise", ctypes.CFUNCTYPE(c_int)),
        ("error", ctypes.CFUNCTYPE(c_char_p, POINTER(c_int))),
        ("clearError", ctypes.CFUNCTYPE(None)),
    ]


class KernelError(Exception):
    """A row that failed, with the plugin's text."""


class Pattern:
    """A pattern in the plugin's memory, with the lists it reads kept alive beside it."""

    def __init__(self, library, flats, batch, heads, lists):
        self._library, self._lists = library, lists
        each = (FlatPattern * len(flats))(*flats)
        self.address = library.longspanPattern(each, batch, heads)
        if not self.address:
            raise KernelError(library.longspanError().decode())

    def __del__(self):
        if getattr(self, "address", None):
            self._library.longspanForgetPattern(self.address)


class Plugin:
    def __init__(self, path, emulated):
        self.emulated = emulated
        self.device = "cpu" if emulated else "cuda"
        self.library = library = ctypes.CDLL(str(path))
        library.longspanError.restype = c_char_p
        library.longspanPattern.restype = c_void_p
        library.longspanPattern.argtypes = [POINTER(FlatPattern), c_int, c_int]
        library.longspanForgetPattern.argtypes = [c_void_p]
        library.longspanCall.argtypes = [c_char_p, c_void_p]
        library.longspanSizeOf.restype = c_size_t
        library.longspanSizeOf.argtypes = [c_char_p]
        library.longspanHasRow.argtypes = [c_char_p]
        library.longspanStream.restype = c_void_p
        library.longspanDeviceCalls.restype = POINTER(DeviceCalls)
        self.calls = library.longspanDeviceCalls().contents
        for row, arguments in ROWS.items():
            size = library.longspanSizeOf(row.encode())
            if size != ctypes.sizeof(arguments):
                raise SystemExit(f"{row}: the plugin takes {size} bytes, plugin.py mirrors {ctypes.sizeof(arguments)}")
        if library.longspanDeviceCount() < 1 or self.calls.open(0) != 0:
            raise SystemExit(f"no device: {library.longspanError().decode()}")
        if not emulated:  # torch works on the plugin's stream too: all is in the order of the calls
            torch.cuda.set_stream(torch.cuda.ExternalStream(library.longspanStream(), torch.device("cuda", 0)))

    def usable(self):
        """False after an error that stays with the device's context."""
        try:
            self.synchronise()
            return self.emulated or bool(torch.ones(1, device="cuda").item())
        except (KernelError, RuntimeError):
            return False

    def bytes(self, count):
        """New device memory as uint8. The emulator knows its own addresses and refuses others in some calls."""
        if not self.emulated:
            return torch.empty(count, dtype=torch.uint8, device=self.device)
        address = self.calls.allocate(0, count)
        if not address:
            raise KernelError(self.library.longspanError().decode())
        array = (c_uint8 * count).from_address(address)
        weakref.finalize(array, self.calls.release, 0, address)
        return torch.frombuffer(array, dtype=torch.uint8)

    def describe(self):
        text = ctypes.create_string_buffer(256)
        self.library.longspanDescribeDevice(0, text, 256)
        return text.value.decode()

    def has(self, row):
        return bool(self.library.longspanHasRow(row.encode()))

    def call(self, row, arguments):
        if self.library.longspanCall(row.encode(), ctypes.byref(arguments)):
            raise KernelError(f"{row}: {self.library.longspanError().decode()}")

    def caller(self, row, arguments):
        """The same call without Python's share, for benches."""
        call, name, address = self.library.longspanCall, row.encode(), ctypes.byref(arguments)
        return lambda: call(name, address)

    def synchronise(self):
        if self.calls.synchronise():
            raise KernelError(f"synchronise: {self.library.longspanError().decode()}")
        if not self.emulated:
            torch.cuda.synchronize()

    def pattern(self, flats, batch=1, heads=1, lists=()):
        return Pattern(self.library, flats, batch, heads, lists)
