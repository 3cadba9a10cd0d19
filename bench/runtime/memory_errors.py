"""Tell a want of memory from other errors: libraries that allocate by themselves have own words."""

_SAID_BY_LIBRARIES = (
    *("DefaultCPUAllocator", "could not create a primitive"),
    *("CUDA error: out of memory", "CUDA driver error: out of memory"),
    *("CUBLAS_STATUS_ALLOC_FAILED", "CUDNN_STATUS_ALLOC_FAILED"),
    "CUDNN_STATUS_INTERNAL_ERROR_HOST_ALLOCATION_FAILED",
    "CUDNN_STATUS_INTERNAL_ERROR_DEVICE_ALLOCATION_FAILED",
    "unable to find an engine to execute this computation",
    *("CUSOLVER_STATUS_ALLOC_FAILED", "cusolverDnCreate(handle)", "cublasCreate(handle)"),
)
"""What PyTorch's allocator for CPUs, oneDNN, CUDA, cuBLAS, cuDNN (8 and 9) and cuSOLVER say: they
have no classes of their own for it. An engine is lacking for a convolution that tried every kernel
and had workspace for none (aten/src/ATen/native/cudnn/Conv_v8.cpp). Where PyTorch's allocator keeps
all of a card, making a library's handle fails as an internal error, or as not initialised."""


def is_out_of_memory(error: Exception) -> bool:
    """Return whether an error says that the device's memory, or the machine's, is too short."""
    import torch

    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(
        words in str(error) for words in _SAID_BY_LIBRARIES
    )
