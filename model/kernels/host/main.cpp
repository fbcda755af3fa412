// Runs one kernel on the CPU: KERNEL BLOCKS THREADS SHARED_BYTES ARGUMENT...
// An argument is a number, or @FILE+BYTES: a buffer from that offset on, which is written back. If the kernel reads or writes
// outside its buffers, the address sanitizer ends the program.
#include "block.h"

#include <map>
#include <string>
#include <tuple>
#include <type_traits>

struct Buffer {
    std::string file;
    char *bytes;
    size_t size;
};
static std::vector<Buffer> buffers;

static char *buffer(const std::string &file) {
    for (const Buffer &known : buffers) {
        if (known.file == file) return known.bytes;
    }
    FILE *from = fopen(file.c_str(), "rb");
    if (!from) {
        fprintf(stderr, "cannot read %s\n", file.c_str());
        exit(2);
    }
    fseek(from, 0, SEEK_END);
    const size_t size = ftell(from);
    rewind(from);
    char *bytes = static_cast<char *>(host::exactly(size));
    if (fread(bytes, 1, size, from) != size) exit(2);
    fclose(from);
    buffers.push_back({file, bytes, size});
    return bytes;
}

template <typename A> A argument(const char *text) {
    if constexpr (std::is_pointer_v<A>) {
        const char *start = strrchr(text, '+');
        if (text[0] != '@' || !start) {
            fprintf(stderr, "%s is not a buffer\n", text);
            exit(2);
        }
        return reinterpret_cast<A>(buffer(std::string(text + 1, start)) + atoll(start + 1));
    } else if constexpr (std::is_floating_point_v<A>) {
        return strtof(text, nullptr);
    } else {
        return (A)strtoull(text, nullptr, 10);
    }
}

template <typename... A> void launch(void (*kernel)(A...), int count, char **texts) {
    if (count != 4 + (int)sizeof...(A)) {
        fprintf(stderr, "expected %zu arguments, found %d\n", sizeof...(A), count - 4);
        exit(2);
    }
    int next = 4;
    std::tuple<A...> arguments{argument<A>(texts[next++])...};
    host::run([&] { std::apply(kernel, arguments); }, atoi(texts[1]), atoi(texts[2]), atoi(texts[3]));
    for (const Buffer &buffer : buffers) {
        FILE *to = fopen(buffer.file.c_str(), "wb");
        if (!to || fwrite(buffer.bytes, 1, buffer.size, to) != buffer.size || fclose(to)) exit(2);
    }
}

#define KERNEL(name) {#name, [](int count, char **texts) { launch(name, count, texts); }},
static const std::map<std::string, void (*)(int, char **)> KERNELS = {EACH_KERNEL(KERNEL)};

int main(int count, char **texts) {
    const auto kernel = count < 5 ? KERNELS.end() : KERNELS.find(texts[1]);
    if (kernel == KERNELS.end()) {
        fprintf(stderr, "unknown kernel\n");
        return 2;
    }
    kernel->second(count - 1, texts + 1);
    return 0;
}
