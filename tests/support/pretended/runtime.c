/* What torch asks CUDA's runtime and driver about a device, whatever it then does with it. */
#include <stdlib.h>

#define YES(name, arguments, body) int name arguments { body; return 0; }

YES(cudaGetDevice, (int *device), *device = 0)
YES(cudaSetDevice, (int device), )
YES(cudaGetDeviceCount, (int *count), *count = 1)
YES(cudaGetLastError, (void), )
YES(cudaPeekAtLastError, (void), )
YES(cudaDeviceSynchronize, (void), )
YES(cudaDriverGetVersion, (int *version), *version = 13000)
YES(cudaDeviceGetStreamPriorityRange, (int *least, int *most),
    if (least) *least = 0; if (most) *most = -5)
YES(cudaStreamCreateWithPriority, (void **stream, unsigned flags, int priority),
    *stream = malloc(8))
YES(cudaStreamQuery, (void *stream), )
YES(cudaStreamSynchronize, (void *stream), )
YES(cudaStreamIsCapturing, (void *stream, int *capturing), *capturing = 0)
YES(cudaStreamWaitEvent, (void *stream, void *event, unsigned flags), )
YES(cudaEventCreateWithFlags, (void **event, unsigned flags), *event = malloc(8))
YES(cudaEventDestroy, (void *event), free(event))
YES(cudaEventRecord, (void *event, void *stream), )
YES(cudaEventRecordWithFlags, (void *event, void *stream, unsigned flags), )
YES(cudaEventQuery, (void *event), )
YES(cudaEventSynchronize, (void *event), )
YES(cudaEventElapsedTime, (float *taken, void *from, void *to), *taken = 1)
YES(cudaThreadExchangeStreamCaptureMode, (int *mode), )

YES(cuInit, (unsigned flags), )
YES(cuDriverGetVersion, (int *version), *version = 13000)
YES(cuDeviceGetCount, (int *count), *count = 1)
YES(cuDevicePrimaryCtxGetState, (int device, unsigned *flags, int *active),
    if (flags) *flags = 0; *active = 1)
YES(cuCtxGetCurrent, (void **context), *context = (void *)1)
YES(cuCtxSetCurrent, (void *context), )
YES(cuCtxGetDevice, (int *device), *device = 0)
YES(cuGetErrorString, (int error, const char **text), *text = "pretended")
