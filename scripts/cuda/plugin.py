"""longspan_cuda.so for Python: the structs of csrc/core/backend.h, read from there, and its calls (cuda/abi.h)."""

import contextlib
import ctypes
import pathlib
import re
import weakref
from ctypes import POINTER, Structure, c_bool, c_char_p, c_double, c_float, c_int, c_int64, c_size_t, c_uint8, c_void_p

import torch

DTYPES = [torch.float32, torch.float16, torch.bfloat16, torch.int8, torch.uint8, torch.int32, torch.int64]


HEADERS = ["tensor_view.h", "kv_cache_view.h", "backend.h"]  # of csrc/core, in this order
TYPES = {
    "float": c_float,
    "double": c_double,
    "bool": c_bool,
    "int": c_int,
    "int64_t": c_int64,
    "DType": c_uint8,
    "KVCoding": c_uint8,
    "Activation": c_uint8,
    "BinaryOp": c_uint8,
}


def mirrored(text, types):
    """Every struct of the header whose members have known types, as a ctypes Structure."""
    text = re.sub(r"//[^\n]*|= ?\{\}", "", text)
    for name, body in re.findall(r"struct (\w+) \{(.*?)\n\};", text, re.S):
        fields = []
        if "(*" in body:
            continue  # tables of functions
        for statement in body.split(";"):
            statement = " ".join(statement.split())
            if "(" in statement or "static" in statement or "}" in statement or not statement:
                continue  # functions and constants
            kind, members = re.fullmatch(r"(?:const )?(\w+)(.*)", statement).groups()
            for member in members.split(","):
                member = re.sub(r"\s*=.*", "", member).strip()
                pointer, name_of, extent = re.fullmatch(
                    r"([*]?(?: ?const[*]| const [*])?)\s*(\w+)(\[\w+\])?", member
                ).groups()
                type_of = c_void_p if pointer else types.get(kind)
                fields.append((name_of, type_of * 8 if extent and type_of else type_of))
        if all(type_of for _, type_of in fields):
            types[name] = type(name, (Structure,), {"_fields_": fields})
    return types


def read_headers():
    folder = pathlib.Path(__file__).resolve().parents[2] / "csrc" / "core"
    types = dict(TYPES)
    for header in HEADERS:
        mirrored((folder / header).read_text(), types)
    return types


STRUCTS = read_headers()
TensorView, KVCacheView, SequenceView, PackedWeight, CopyArgs, EmbeddingArgs, NormArgs, RopeArgs = (
    STRUCTS[name]
    for name in "TensorView KVCacheView SequenceView PackedWeight CopyArgs EmbeddingArgs NormArgs RopeArgs".split()
)
(
    GatedArgs,
    BinaryArgs,
    SoftmaxArgs,
    NllArgs,
    TopKArgs,
    PackArgs,
    MatmulArgs,
    AttentionArgs,
    MergeArgs,
    CacheAppendArgs,
    RopeAppendArgs,
) = (
    STRUCTS[name + "Args"]
    for name in "Gated Binary Softmax Nll TopK Pack Matmul Attention Merge CacheAppend RopeAppend".split()
)
ACTIVATIONS = ["none", "silu", "gelu", "geluTanh", "relu"]
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
    "ropeAppend": RopeAppendArgs,
}


def address(array):
    """Of a ctypes array, for a member that is a pointer; the array must be kept alive."""
    return ctypes.cast(array, c_void_p)


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


class FlatPattern(Structure):  # LongspanPattern
    _fields_ = [
        ("kind", c_char_p),
        ("seqLenQ", c_int),
        ("seqLenKV", c_int),
        ("start", c_int),
        ("numbers", c_int * 8),
        ("lists", c_void_p * 2),
    ]


class DeviceCalls(Structure):  # as far as it is used here
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
        self.emulated, self.failed = emulated, None
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
                raise SystemExit(
                    f"{row}: the plugin takes {size} bytes, backend.h as read here gives {ctypes.sizeof(arguments)}"
                )
        if library.longspanDeviceCount() < 1 or self.calls.open(0) != 0:
            raise SystemExit(f"no device: {library.longspanError().decode()}")
        if not emulated:  # torch works on the plugin's stream too: all is in the order of the calls
            torch.cuda.init()
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
        """The same call with little of Python's share, for benches. A failed call counts: see timed()."""
        call, name, address = self.library.longspanCall, row.encode(), ctypes.byref(arguments)

        def counted():
            if call(name, address):
                self.failed = f"{row}: {self.library.longspanError().decode()}"

        return counted

    @contextlib.contextmanager
    def timed(self):
        """Around a timed loop: a call in it that failed took no time worth telling."""
        self.failed = None
        yield
        if self.failed:
            raise RuntimeError(f"in the timed loop, {self.failed}")

    def synchronise(self):
        if self.calls.synchronise():
            raise KernelError(f"synchronise: {self.library.longspanError().decode()}")
        if not self.emulated:
            torch.cuda.synchronize()

    def pattern(self, flats, batch=1, heads=1, lists=()):
        return Pattern(self.library, flats, batch, heads, lists)
