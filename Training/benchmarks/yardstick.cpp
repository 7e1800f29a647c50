// The selective scan as plain C++: what `segmamba bench scan` compares the package's kernels with.
//
// Vectors run over 16 channels, four states at a time, time innermost; the backward pass starts from states kept every
// 32 tokens and recomputes the rest in cache.  Layout: u, delta, z, out and their gradients (batch, length, channels);
// B, C (batch, length, 16); A (channels, 16); float32; channels a multiple of 16, length a multiple of 32.
//
//   g++ -O3 -march=native -mprefer-vector-width=512 -ffast-math -fPIC -shared -pthread -o yardstick.so yardstick.cpp

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <thread>
#include <vector>

namespace {

constexpr int kLanes = 16;
constexpr int kStates = 16;
constexpr int kGroup = 4;  // states that the innermost loop carries in registers
constexpr int kChunk = 32;  // tokens between two kept states
constexpr int kTile = 16;   // tokens of the forward pass that stay in the first cache

typedef float Vec __attribute__((vector_size(4 * kLanes)));
typedef int32_t Int __attribute__((vector_size(4 * kLanes)));

inline Vec all(float x) { return x - Vec{}; }
inline Vec load(const float* p) { Vec v; std::memcpy(&v, p, sizeof v); return v; }
inline void store(float* p, Vec v) { std::memcpy(p, &v, sizeof v); }
inline Vec larger(Vec a, Vec b) { return a > b ? a : b; }

// 2^x for x <= 0: the whole part goes to the exponent, the rest in (-1, 0] to a polynomial (relative error 8e-8).
inline Vec exp2_negative(Vec x) {
    x = larger(x, all(-126.0f));
    const Int whole = __builtin_convertvector(x, Int);
    const Vec rest = x - __builtin_convertvector(whole, Vec);
    Vec p = 9.44903697e-4f * rest + 9.20579828e-3f;
    p = p * rest + 5.52973583e-2f;
    p = p * rest + 2.40180143e-1f;
    p = p * rest + 6.93143721e-1f;
    p = p * rest + 1.0f;
    return (Vec)((Int)p + (whole << 23));
}

constexpr float kLog2E = 1.44269504f, kLn2 = 0.69314718f;

inline Vec exp_of_minus_abs(Vec x) { return exp2_negative(larger(x, -x) * -kLog2E); }

// log(1 + e^x) = max(x, 0) + log1p(t), t = e^-|x|, and log1p(t) = 2 atanh(t / (2 + t)).
inline Vec softplus(Vec x) {
    const Vec t = exp_of_minus_abs(x), s = t / (2.0f + t), q = s * s;
    const Vec series = ((3.42260506e-1f * q + 3.95894613e-1f) * q + 6.66760029e-1f) * q + 1.99999967f;
    return larger(x, Vec{}) + s * series;
}

inline Vec sigmoid(Vec x) {
    const Vec t = exp_of_minus_abs(x), r = 1.0f / (1.0f + t);
    return x >= 0 ? r : t * r;
}

inline float sum(Vec v) {
    float total = 0;
    for (int i = 0; i < kLanes; ++i) total += v[i];
    return total;
}

template <class Work>
void share(int threads, int blocks, Work work) {
    std::vector<std::thread> others;
    for (int k = 1; k < threads; ++k) others.emplace_back(work, k, blocks * k / threads, blocks * (k + 1) / threads);
    work(0, 0, blocks / threads);
    for (auto& other : others) other.join();
}

struct Vectors {  // aligned scratch memory
    explicit Vectors(size_t count)
        : size(sizeof(Vec) * count), first(static_cast<Vec*>(std::aligned_alloc(sizeof(Vec), size + sizeof(Vec)))) {
        clear();
    }
    ~Vectors() { std::free(first); }
    Vectors(const Vectors&) = delete;
    void clear() { std::memset(first, 0, size); }
    Vec& operator[](size_t i) { return first[i]; }
    size_t size;
    Vec* first;
};

void read_rates(const float* A, int channel, Vec* rates) {
    for (int n = 0; n < kStates; ++n)
        for (int i = 0; i < kLanes; ++i) rates[n][i] = A[(channel + i) * kStates + n] * kLog2E;
}

// Place of the state kept before chunk c of channel block q.
inline size_t kept_at(long batch, long chunks, long c, int blocks, int q) {
    return (((batch * chunks + c) * blocks + q) * kStates) * kLanes;
}

}  // namespace

extern "C" {

// kept: states every 32 tokens, batch x length/32 x channels x 16 floats, or null. Returns 0, or 1 for a bad shape.
int yardstick_forward(const float* u, const float* delta, const float* z, const float* A, const float* B,
                      const float* C, const float* D, const float* bias, float* out, float* kept, long batches,
                      long channels, long length, int threads) {
    if (channels % kLanes || length % kChunk) return 1;
    const int blocks = channels / kLanes;
    share(threads, blocks, [=](int, int from, int to) {
        const int mine = to - from;
        Vectors state(mine * kStates), rates(mine * kStates);
        for (int q = 0; q < mine; ++q) read_rates(A, (from + q) * kLanes, &rates[q * kStates]);
        for (long b = 0; b < batches; ++b) {
            state.clear();
            for (long start = 0; start < length; start += kTile)
                for (int q = 0; q < mine; ++q) {
                    const int channel = (from + q) * kLanes;
                    Vec* h = &state[q * kStates];
                    if (kept && start % kChunk == 0)
                        std::memcpy(kept + kept_at(b, length / kChunk, start / kChunk, blocks, from + q), h,
                                    sizeof(Vec) * kStates);
                    const Vec skip = load(D + channel), offset = load(bias + channel);
                    const float* rowB = B + (b * length + start) * kStates;
                    const float* rowC = C + (b * length + start) * kStates;
                    const size_t at = (b * length + start) * channels + channel;
                    Vec step[kTile], input[kTile], y[kTile];
                    for (int t = 0; t < kTile; ++t) {
                        // Rows lie too far apart for the hardware to guess: those that this loop reads are asked for.
                        __builtin_prefetch(delta + at + (t + kTile) * channels);
                        __builtin_prefetch(u + at + (t + kTile) * channels);
                        const Vec value = load(u + at + t * channels);
                        step[t] = softplus(load(delta + at + t * channels) + offset);
                        input[t] = step[t] * value;
                        y[t] = skip * value;
                    }
                    for (int n = 0; n < kStates; n += kGroup) {
                        const Vec* r = &rates[q * kStates + n];
                        const Vec r0 = r[0], r1 = r[1], r2 = r[2], r3 = r[3];
                        Vec h0 = h[n], h1 = h[n + 1], h2 = h[n + 2], h3 = h[n + 3];
                        for (int t = 0; t < kTile; ++t) {
                            const float *Bt = rowB + t * kStates + n, *Ct = rowC + t * kStates + n;
                            const Vec d = step[t], x = input[t];
                            h0 = exp2_negative(d * r0) * h0 + x * Bt[0];
                            h1 = exp2_negative(d * r1) * h1 + x * Bt[1];
                            h2 = exp2_negative(d * r2) * h2 + x * Bt[2];
                            h3 = exp2_negative(d * r3) * h3 + x * Bt[3];
                            y[t] += (h0 * Ct[0] + h1 * Ct[1]) + (h2 * Ct[2] + h3 * Ct[3]);
                        }
                        h[n] = h0, h[n + 1] = h1, h[n + 2] = h2, h[n + 3] = h3;
                    }
                    for (int t = 0; t < kTile; ++t) {
                        const Vec gate = load(z + at + t * channels);
                        store(out + at + t * channels, y[t] * (gate * sigmoid(gate)));
                    }
                }
        }
    });
    return 0;
}

// dB, dC: (threads, batch, length, 16), a share for each thread, which the caller adds up; all else like its input.
int yardstick_backward(const float* u, const float* delta, const float* z, const float* A, const float* B,
                       const float* C, const float* D, const float* bias, const float* kept, const float* dout,
                       float* du, float* ddelta, float* dz, float* dA, float* dB, float* dC, float* dD, float* dbias,
                       long batches, long channels, long length, int threads) {
    if (channels % kLanes || length % kChunk) return 1;
    const int blocks = channels / kLanes;
    const long chunks = length / kChunk;
    share(threads, blocks, [=](int worker, int from, int to) {
        const int mine = to - from;
        Vectors adjoint(mine * kStates), rates(mine * kStates), d_rates(mine * kStates), d_skip(mine), d_offset(mine);
        Vectors decays(kChunk * kStates), states(kChunk * kStates);
        for (int q = 0; q < mine; ++q) read_rates(A, (from + q) * kLanes, &rates[q * kStates]);
        float* shareB = dB + worker * batches * length * kStates;
        float* shareC = dC + worker * batches * length * kStates;
        for (long b = 0; b < batches; ++b) {
            adjoint.clear();
            for (long c = chunks - 1; c >= 0; --c)
                for (int q = 0; q < mine; ++q) {
                    const int channel = (from + q) * kLanes;
                    const Vec skip = load(D + channel), offset = load(bias + channel);
                    const size_t row = (b * length + c * kChunk) * kStates;
                    const size_t at = (b * length + c * kChunk) * channels + channel;
                    const float *rowB = B + row, *rowC = C + row;
                    Vec step[kChunk], slope[kChunk], value[kChunk], input[kChunk], y[kChunk], dy[kChunk];
                    Vec d_input[kChunk] = {}, d_step[kChunk] = {};
                    for (int t = 0; t < kChunk; ++t) {
                        __builtin_prefetch(delta + (long)at + (t - kChunk) * channels);
                        __builtin_prefetch(u + (long)at + (t - kChunk) * channels);
                        const Vec raw = load(delta + at + t * channels) + offset;
                        step[t] = softplus(raw);
                        slope[t] = sigmoid(raw);
                        value[t] = load(u + at + t * channels);
                        input[t] = step[t] * value[t];
                        y[t] = skip * value[t];
                    }
                    // Forward again, from the state kept.
                    const float* start = kept + kept_at(b, chunks, c, blocks, from + q);
                    for (int n = 0; n < kStates; n += kGroup) {
                        const Vec* r = &rates[q * kStates + n];
                        Vec h[kGroup];
                        std::memcpy(h, start + n * kLanes, sizeof h);
                        for (int t = 0; t < kChunk; ++t) {
                            const float *Bt = rowB + t * kStates + n, *Ct = rowC + t * kStates + n;
                            Vec total = y[t];
#pragma GCC unroll 4
                            for (int i = 0; i < kGroup; ++i) {
                                const Vec decay = exp2_negative(step[t] * r[i]);
                                h[i] = decay * h[i] + input[t] * Bt[i];
                                decays[t * kStates + n + i] = decay;
                                states[t * kStates + n + i] = h[i];
                                total += h[i] * Ct[i];
                            }
                            y[t] = total;
                        }
                    }
                    for (int t = 0; t < kChunk; ++t) {
                        const Vec gate = load(z + at + t * channels), g = load(dout + at + t * channels);
                        const Vec s = sigmoid(gate);
                        dy[t] = g * (gate * s);
                        store(dz + at + t * channels, g * y[t] * (s * (1.0f + gate * (1.0f - s))));
                        d_skip[q] += dy[t] * value[t];
                    }
                    // The adjoint, backwards; it takes the decays' place.
                    for (int n = 0; n < kStates; n += kGroup) {
                        const Vec* r = &rates[q * kStates + n];
                        Vec g[kGroup], dr[kGroup];
                        std::memcpy(g, &adjoint[q * kStates + n], sizeof g);
                        std::memcpy(dr, &d_rates[q * kStates + n], sizeof dr);
                        for (int t = kChunk - 1; t >= 0; --t) {
                            const float *Bt = rowB + t * kStates + n, *Ct = rowC + t * kStates + n;
                            Vec to_input = d_input[t], to_step = d_step[t];
#pragma GCC unroll 4
                            for (int i = 0; i < kGroup; ++i) {
                                Vec& place = decays[t * kStates + n + i];
                                g[i] += dy[t] * Ct[i];
                                to_input += g[i] * Bt[i];
                                const Vec carried = g[i] * (states[t * kStates + n + i] - input[t] * Bt[i]);
                                to_step += carried * r[i];
                                dr[i] += carried * step[t];
                                const Vec decay = place;
                                place = g[i];
                                g[i] *= decay;
                            }
                            d_input[t] = to_input, d_step[t] = to_step;
                        }
                        std::memcpy(&adjoint[q * kStates + n], g, sizeof g);
                        std::memcpy(&d_rates[q * kStates + n], dr, sizeof dr);
                    }
                    for (int t = 0; t < kChunk; ++t) {
                        store(du + at + t * channels, step[t] * d_input[t] + skip * dy[t]);
                        const Vec d_raw = (value[t] * d_input[t] + d_step[t] * kLn2) * slope[t];
                        store(ddelta + at + t * channels, d_raw);
                        d_offset[q] += d_raw;
                        float *toB = shareB + row + t * kStates, *toC = shareC + row + t * kStates;
                        for (int n = 0; n < kStates; ++n) {
                            const float forB = sum(decays[t * kStates + n] * input[t]);
                            const float forC = sum(states[t * kStates + n] * dy[t]);
                            toB[n] = q ? toB[n] + forB : forB;
                            toC[n] = q ? toC[n] + forC : forC;
                        }
                    }
                }
        }
        for (int q = 0; q < mine; ++q) {
            store(dD + (from + q) * kLanes, d_skip[q]);
            store(dbias + (from + q) * kLanes, d_offset[q]);
            for (int i = 0; i < kLanes; ++i)
                for (int n = 0; n < kStates; ++n)
                    dA[((from + q) * kLanes + i) * kStates + n] = d_rates[q * kStates + n][i];
        }
    });
    return 0;
}
}
