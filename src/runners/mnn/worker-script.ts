/**
 * What the Python process beside us runs. MNN has no package for Node. It answers frames on its standard input with
 * frames on what was its standard output: a 32-bit length, that much JSON, then the bytes of the tensors. The
 * runtime's own prints go to standard error, because the first act is to move the stream out of their way.
 */
export const WORKER_SCRIPT = `
import json, os, struct, sys, time
answers = os.fdopen(os.dup(1), 'wb')
os.dup2(2, 1)
requests = os.fdopen(0, 'rb')
import numpy
import MNN
import MNN.expr as expr

def read(count):
    data = b''
    while len(data) < count:
        part = requests.read(count - len(data))
        if not part:
            sys.exit(0)
        data += part
    return data

def answer(header, tensors=()):
    header['payload'] = [len(tensor) for tensor in tensors]
    text = json.dumps(header).encode()
    answers.write(struct.pack('<I', len(text)) + text)
    for tensor in tensors:
        answers.write(tensor)
    answers.flush()

def array(feed, data):
    kind = numpy.int32 if feed['dataType'] == 'int32' else numpy.float32
    return numpy.frombuffer(data, kind).reshape(feed['dims'])

class ByModule:
    def __init__(self, order):
        config = {'backend': 'CPU', 'numThread': order['threads'],
                  'precision': order['precision'], 'memory': order['memory']}
        self.runtime = MNN.nn.create_runtime_manager((config,))
        for mode, value in order['hints']:
            self.runtime.set_hint(mode, value)
        self.module = MNN.nn.load_module_from_file(
            order['path'], [], [], runtime_manager=self.runtime, shape_mutable=True)
        info = self.module.get_info()
        self.inputs, self.outputs = info['inputNames'], info['outputNames']
        self.note = info.get('bizCode', '')
        self.declared = [(list(value.shape), 'int32' if value.dtype == expr.dtype.int else 'float32')
                         for value in info['inputs']]

    def run(self, feeds):
        values = []
        for name in self.inputs:
            data = numpy.ascontiguousarray(feeds[name])
            kind = expr.dtype.int if data.dtype == numpy.int32 else expr.dtype.float
            values.append(expr.const(data, list(data.shape), expr.data_format.NCHW, kind))
        results = self.module.onForward(values)
        if len(results) != len(self.outputs):
            raise RuntimeError('the runtime gave no outputs')
        return [numpy.array(result.read()).reshape(result.shape) for result in results]

class BySession:
    def __init__(self, order):
        self.net = MNN.Interpreter(order['path'])
        self.session = self.net.createSession({
            'backend': 'CPU', 'numThread': order['threads'],
            'precision': order['precision'], 'memory': order['memory']})
        inputs = self.net.getSessionInputAll(self.session)
        self.inputs = list(inputs)
        self.outputs = order['outputs']
        self.note = ''
        self.declared = [
            (list(inputs[name].getShape()),
             'int32' if inputs[name].getDataType() == MNN.Halide_Type_Int else 'float32')
            for name in self.inputs]

    def run(self, feeds):
        inputs = self.net.getSessionInputAll(self.session)
        for name, data in feeds.items():
            self.net.resizeTensor(inputs[name], tuple(data.shape))
        self.net.resizeSession(self.session)
        for name, data in feeds.items():
            if data.size == 0:
                continue
            kind = MNN.Halide_Type_Int if data.dtype == numpy.int32 else MNN.Halide_Type_Float
            data = numpy.ascontiguousarray(data)
            host = MNN.Tensor(tuple(data.shape), kind, data, MNN.Tensor_DimensionType_Caffe)
            inputs[name].copyFrom(host)
        if self.net.runSession(self.session) != 0:
            raise RuntimeError('the runtime could not run the session')
        outputs = self.net.getSessionOutputAll(self.session)
        results = []
        for name in self.outputs:
            output = outputs[name]
            shape = tuple(output.getShape())
            kind = output.getDataType()
            host = MNN.Tensor(shape, kind, numpy.zeros(
                shape, numpy.int32 if kind == MNN.Halide_Type_Int else numpy.float32),
                MNN.Tensor_DimensionType_Caffe)
            output.copyToHostTensor(host)
            results.append(numpy.array(host.getNumpyData(), copy=True).reshape(shape))
        return results

def peak():
    try:
        import resource
    except ImportError:
        return 0
    size = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return size if sys.platform == 'darwin' else size * 1024

model = None
while True:
    length, = struct.unpack('<I', read(4))
    order = json.loads(read(length))
    feeds = {feed['name']: array(feed, read(feed['byteLength'])) for feed in order.get('feeds', [])}
    try:
        if order['command'] == 'load':
            model = BySession(order) if order['api'] == 'session' else ByModule(order)
            answer({'inputs': [{'name': name, 'dims': dims, 'dataType': kind}
                               for name, (dims, kind) in zip(model.inputs, model.declared)],
                    'outputs': model.outputs, 'note': model.note})
        elif order['command'] == 'run':
            results = [numpy.ascontiguousarray(result) for result in model.run(feeds)]
            results = [result if result.dtype == numpy.int32 else result.astype(numpy.float32)
                       for result in results]
            answer({'outputs': [{'name': name, 'dims': list(result.shape), 'dataType': str(result.dtype)}
                                for name, result in zip(model.outputs, results)]},
                   [result.tobytes() for result in results])
        elif order['command'] == 'time':
            times = []
            for _ in range(order['count']):
                start = time.perf_counter()
                model.run(feeds)
                times.append((time.perf_counter() - start) * 1000)
            answer({'times': times})
        else:
            answer({'peak': peak()})
    except Exception as error:
        cause = error.__cause__ or error
        answer({'error': str(cause) or type(cause).__name__})
`;
