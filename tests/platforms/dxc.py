"""Compiles HLSL with a DXC library, version 1.6.

    python dxc.py LIBRARY < jobs.json > answers.json

A job is {"source": text, "arguments": [text, ...]}; its answer {"bytes": size of the object} or
{"error": message}. The library speaks COM, of which this needs four methods, by their places in the tables.
"""

import ctypes
import json
import sys
import uuid

UTF8 = 65001
RESULT, OBJECT = "58346CDA-DDE7-4497-9461-6F87AF5E0659", 1
COMPILER_CLASS = "73e22d93-e6ce-47f3-b5bf-f0664f39c1b0"
COMPILER = "228B4687-5A6A-4730-900C-9702B2203F54"
BLOB = "8BA5FB08-5195-40e2-AC58-0D989C3A0102"
ERRORS = 2
# Places in tables. On Linux IUnknown's three methods are followed by two destructors up to DXC 1.6, which
# this is made for; then come those of the interface.
RELEASE, OWN = 2, 5
COMPILE = OWN
GET_STATUS, GET_OUTPUT = OWN, OWN + 4
BLOB_POINTER, BLOB_SIZE = OWN, OWN + 1


class Buffer(ctypes.Structure):
    _fields_ = [
        ("pointer", ctypes.c_char_p),
        ("size", ctypes.c_size_t),
        ("encoding", ctypes.c_uint32),
    ]


def guid(text):
    return ctypes.create_string_buffer(uuid.UUID(text).bytes_le, 16)


def method(this, place, result, *types):
    """The method at a place of an object's table, with the object bound to it."""
    table = ctypes.cast(this, ctypes.POINTER(ctypes.POINTER(ctypes.c_void_p))).contents
    function = ctypes.CFUNCTYPE(result, ctypes.c_void_p, *types)(table[place])
    return lambda *arguments: function(this, *arguments)


def check(code, what):
    if code < 0:
        raise OSError(f"{what} failed with {code & 0xFFFFFFFF:#x}")


def output(result, kind):
    """An output's bytes; none where the compiler has none of this kind."""
    blob = ctypes.c_void_p()
    get = method(
        result, GET_OUTPUT, ctypes.c_int32,
        ctypes.c_int32, ctypes.c_char_p, ctypes.c_void_p, ctypes.c_void_p,
    )
    if get(kind, guid(BLOB).raw, ctypes.byref(blob), None) < 0 or not blob:
        return b""
    pointer = method(blob, BLOB_POINTER, ctypes.c_void_p)()
    size = method(blob, BLOB_SIZE, ctypes.c_size_t)()
    data = ctypes.string_at(pointer, size) if size else b""
    method(blob, RELEASE, ctypes.c_uint32)()
    return data


def compile_one(compiler, job):
    source = job["source"].encode()
    buffer = Buffer(source, len(source), UTF8)
    arguments = (ctypes.c_wchar_p * len(job["arguments"]))(*job["arguments"])
    result = ctypes.c_void_p()
    compile_ = method(
        compiler, COMPILE, ctypes.c_int32,
        ctypes.c_void_p, ctypes.c_void_p, ctypes.c_uint32,
        ctypes.c_void_p, ctypes.c_char_p, ctypes.c_void_p,
    )
    check(
        compile_(
            ctypes.byref(buffer), arguments, len(arguments), None, guid(RESULT).raw, ctypes.byref(result)
        ),
        "Compile",
    )
    status = ctypes.c_int32()
    get_status = method(result, GET_STATUS, ctypes.c_int32, ctypes.c_void_p)
    check(get_status(ctypes.byref(status)), "GetStatus")
    errors = output(result, ERRORS).rstrip(b"\0").decode(errors="replace")
    # Without Microsoft's signing library the object is checked by the compiler itself and stays unsigned.
    lines = [line for line in errors.splitlines() if line.strip() and "DXIL.dll not found" not in line]
    errors = "\n".join(lines)
    size = len(output(result, OBJECT))
    method(result, RELEASE, ctypes.c_uint32)()
    # wgpu takes every message for an error.
    if status.value < 0 or errors:
        return {"error": errors or f"status {status.value & 0xFFFFFFFF:#x}"}
    return {"bytes": size}


def main():
    library = ctypes.CDLL(sys.argv[1])
    compiler = ctypes.c_void_p()
    create = library.DxcCreateInstance
    create.restype = ctypes.c_int32
    create.argtypes = [ctypes.c_char_p, ctypes.c_char_p, ctypes.c_void_p]
    check(
        create(guid(COMPILER_CLASS).raw, guid(COMPILER).raw, ctypes.byref(compiler)),
        "DxcCreateInstance",
    )
    json.dump([compile_one(compiler, job) for job in json.load(sys.stdin)], sys.stdout)


if __name__ == "__main__":
    main()
